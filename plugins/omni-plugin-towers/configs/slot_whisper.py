# A sound slot through the frozen Whisper-tiny (pip install "omni-plugin-towers[whisper]"). Use it through `_base_`, or
# copy the lines.
processor = dict(sound=dict(modality="whisper_tiny"))
model = dict(slots=dict(sound="whisper_tiny"), adapters=dict(whisper_tiny=dict(projector="mlp")))
