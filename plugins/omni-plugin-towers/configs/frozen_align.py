# First stage on m3mini with frozen encoders, for every objective alike: Whisper-tiny hears, E5 reads, the picture tower
# starts anew. Projectors and core learn: picture, name and spoken name of the same thing; which language is spoken;
# which class a list of names names in each language. The demo's stage but for the two frozen towers.
# (tools/frozen_towers_table.py sets edition, w, the languages' objectives and the steps.)
_base_ = ["omni_plugin_m3mini:configs/demo_align.py"]

model = dict(
    width=192,
    ffn_width=512,
    adapters=dict(
        audio=dict(_delete_=True, type="whisper_tiny", projector=dict(type="mlp", hidden=384)),
        text=dict(type="e5_small", projector=dict(type="mlp", hidden=384)),
    ),
)
_sound = dict(window_seconds=3.0, average=8, precision="int8", keep=True)
_names = dict(_delete_=True, modality="text", type="e5_words", split=", ", center=True, keep=True)
processor = dict(
    audio=dict(_delete_=True, modality="audio", type="whisper_sound", **_sound),
    text=_names,
    list=_names,
)
