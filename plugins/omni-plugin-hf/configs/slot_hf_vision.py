# A picture slot through a frozen encoder of transformers. Use it through `_base_`, or copy the lines.
# checkpoints/dinov2-small is a folder with config.json, model.safetensors and preprocessor_config.json.
processor = dict(picture=dict(modality="hf_vision", path="checkpoints/dinov2-small"))
model = dict(
    slots=dict(picture="hf_vision"),
    adapters=dict(hf_vision=dict(encoder=dict(path="checkpoints/dinov2-small"), projector=dict(type="token"))),
)
