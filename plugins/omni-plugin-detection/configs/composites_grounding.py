# The box of a phrase ("a frog", and in the split "pairs" "a frog left of a drum").
#   omni train omni_plugin_detection:configs/composites_grounding.py --work-dir work_dirs/grounding
_base_ = ["composites_model.py"]

model = dict(
    slots=dict(image="image", phrase="text", _delete_=True),
    heads=dict(grounding=dict(slot="image", query="phrase", channels=64, scales=[2, 1], depth=2), _delete_=True),
)
processor = dict(
    image=dict(
        modality="image", type="image_basic", size=128, multiple=16, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)
    ),
    phrase=dict(modality="text", type="bpe"),
    _delete_=True,
)
objectives = [dict(type="task", head="grounding", slots=["image", "phrase"], targets=["phrase_box", "picture_size"])]
train_dataloader = dict(dataset=dict(type="composites", split="train", slots=["image", "phrase"]), batch_size=32)
train_cfg = dict(max_iters=3000)
