# An image slot: transform for `processor`, adapter for `model`. Use it through `_base_`, or copy the lines.
processor = dict(image=dict(modality="image", type="image_basic", size=224, crop_scale=(0.9, 1.0)))
model = dict(
    slots=dict(image="image"),
    adapters=dict(image=dict(stem="hmlp", image_size=224)),
)
