# The small model for the scenes of `mix`, and how its slots are read. Two frames, at a quarter and at three quarters of
# the time: enough to tell the motions apart. Used by mix_towers.py and mix_groups.py.
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=96,
    num_layers=2,
    num_heads=4,
    ffn_width=256,
    layer_scale=1.0,
    embedding_width=64,
    embedding_norm="l2",
    slots=dict(video="video", audio="audio", text="text"),
    adapters=dict(
        video=dict(stem="hmlp", image_size=64, num_steps=2),
        audio=dict(stem="log_mel", patch_frames=10, position_layers=2, position_kernel=9, position_groups=4),
    ),
)
processor = dict(
    video=dict(
        modality="video", type="video_basic", size=64, num_frames=2, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)
    ),
    audio=dict(modality="audio", type="log_mel", max_seconds=3.0),
    text=dict(modality="text", type="bpe"),
)
# float32: many times faster than bfloat16 where the processor has none
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True))
param_scheduler = dict(type="warmup_cosine", warmup=0.1, min_lr=1e-6)
default_hooks = dict(checkpoint=dict(interval=100000, keep=2), logger=dict(interval=50))
