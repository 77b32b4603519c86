# An audio slot over raw waveforms, as published. Use it through `_base_`, or copy the lines.
processor = dict(audio=dict(modality="audio", type="wave", min_seconds=1.0, max_seconds=15.0))
model = dict(
    slots=dict(audio="audio"),
    adapters=dict(audio=dict(stem="wave", conv_width=512)),
)
