# AdamW without weight decay on vectors and tables, gradient clipping, linear warm-up and cosine.
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=3.0),
    accumulative_counts=1,
    dtype="float32",
)
param_scheduler = dict(type="warmup_cosine", warmup=0.05, min_lr=1e-6)
train_cfg = dict(max_iters=10000, val_interval=1000)
