# The tiny tri-modal model of the demo, and how its slots are read. Used by demo_align.py and demo_triples.py.
# LayerNorm outputs without a length, and a scale without bounds: the product of three unit vectors would be too small.
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=96,
    num_layers=2,
    num_heads=4,
    ffn_width=256,
    layer_scale=1.0,
    embedding_width=128,
    embedding_norm="layernorm",
    projection=dict(type="mlp", hidden=256),
    logit_scale=dict(init=0.1, max=None),
    slots=dict(image="image", text="text", audio="audio"),
    adapters=dict(
        image=dict(stem="hmlp", image_size=64),
        audio=dict(
            stem="log_mel",
            patch_frames=4,
            position_layers=2,
            position_kernel=9,
            position_groups=4,
            mel_augment=dict(gain=0.2, tilt=0.1, noise=0.15, mask_bands=10),
        ),
    ),
)
processor = dict(
    image=dict(modality="image", type="image_basic", size=64, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)),
    text=dict(modality="text", type="bpe"),
    audio=dict(modality="audio", type="log_mel", max_seconds=2.0),
)
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True), dtype="auto"
)
param_scheduler = dict(type="warmup_cosine", warmup=0.1, min_lr=1e-6)
default_hooks = dict(checkpoint=dict(interval=100000, keep=2), logger=dict(interval=100))
