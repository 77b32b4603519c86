# A sound slot through Whisper's encoder with low-rank matrices that train (pip install "omni-plugin-hf[peft]").
processor = dict(sound=dict(modality="hf_audio", path="checkpoints/whisper-tiny", max_seconds=10.0))
model = dict(
    slots=dict(sound="hf_audio"),
    adapters=dict(
        hf_audio=dict(encoder=dict(path="checkpoints/whisper-tiny"), lora=dict(r=8, targets=["q_proj", "v_proj"]))
    ),
)
