# Names of pictures and of spoken words, in the language of the word, on the data that omni-plugin-m3mini ships:
#   omni train omni_plugin_captioning:configs/m3mini_captions.py --work-dir work_dirs/captions
# Needs omni-plugin-image, omni-plugin-audio and omni-plugin-m3mini.
_base_ = "omni:configs/examples/three_slots.py"

model = dict(
    heads=dict(
        caption=dict(type="captioning", vocabulary="text", vocab_size=16384, max_length=16, num_layers=2, num_heads=2)
    )
)
objectives = [
    dict(
        type="task",
        slots=["image", "audio"],
        head="caption",
        targets="text",
        groups=[["audio"], ["image", "audio"]],
    )
]
val_evaluator = [dict(type="task")]
train_cfg = dict(max_iters=600, val_interval=200)
