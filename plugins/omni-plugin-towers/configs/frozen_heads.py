# Second stage on m3mini with frozen encoders: heads on cached features of the three towers of frozen_align.py.
# Set load_from to the first stage's model, the data set's w, and the objective.
_base_ = ["omni_plugin_m3mini:configs/demo_triples.py"]

model = dict(
    width=192,
    ffn_width=512,
    embedding_width=192,
    projection=dict(hidden=512),
    adapters=dict(
        audio=dict(_delete_=True, type="whisper_tiny", projector=dict(type="mlp", hidden=384)),
        text=dict(type="e5_small", projector=dict(type="mlp", hidden=384)),
    ),
)
_sound = dict(window_seconds=3.0, average=8, precision="int8", keep=True)
_names = dict(_delete_=True, modality="text", type="e5_words", split=", ", center=True, keep=True)
processor = dict(audio=dict(_delete_=True, modality="audio", type="whisper_sound", **_sound), text=_names)
