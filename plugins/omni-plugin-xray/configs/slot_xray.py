# A radiograph slot: transform for `processor`, adapter for `model`. Use it through `_base_`, or copy the lines.
processor = dict(xray=dict(modality="xray", type="xray_basic", size=224, mode="fit"))
model = dict(
    slots=dict(xray="xray"),
    adapters=dict(xray=dict(stem="hmlp", image_size=224)),
)
