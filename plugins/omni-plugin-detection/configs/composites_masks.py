# Segmentation by labels that are texts, beside detection, on one trunk.
#   omni train omni_plugin_detection:configs/composites_masks.py --work-dir work_dirs/masks
_base_ = ["composites_model.py"]

model = dict(heads=dict(segmentation=dict(slot="image", embedding_width=64, channels=64, scale=2, depth=2)))
objectives = [
    dict(
        type="label_task",
        head="detection",
        slots=["image"],
        labels=["text"],
        targets=["boxes", "labels", "picture_size"],
    ),
    dict(type="label_task", head="segmentation", slots=["image"], labels=["text"], targets=["masks", "labels"]),
]
train_dataloader = dict(dataset=dict(type="composites", split="train", masks=True), batch_size=32)
train_cfg = dict(max_iters=3000)
