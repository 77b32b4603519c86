# The tiny model of simclinic (simulated, not for clinical use), and how its slots are read.
# LayerNorm outputs without a length, and a scale without bounds: the product of three unit vectors would be too small.
# Set processor.labs.schema to the labs.json of the edition: its quantiles are those of the edition's training cases.
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
    slots=dict(xray="xray", ecg="ecg", labs="tabular"),
    adapters=dict(
        xray=dict(stem="conv", patch_size=32, image_size=96),
        ecg=dict(stem="conv", conv_width=32, conv_strides=(4, 2, 2)),
        tabular=dict(stem="mlp", columns=57, hidden=(256, 256)),
    ),
)
processor = dict(
    xray=dict(modality="xray", type="xray_basic", size=96, multiple=32, crop_scale=(1.0, 1.0)),
    ecg=dict(modality="ecg", type="ecg_basic", sample_rate=100, max_seconds=5.0, leads=["I", "II", "V1", "V5"]),
    labs=dict(modality="tabular", type="tabular_basic", schema="omni_plugin_clinic:data/mini/labs.json"),
)
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True))
param_scheduler = dict(type="warmup_cosine", warmup=0.1, min_lr=1e-6)
default_hooks = dict(checkpoint=dict(interval=100000, keep=2), logger=dict(interval=50))
