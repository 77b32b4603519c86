# Detection on composites by labels that are texts: names of kinds and of things in six languages.
#   omni data build composites
#   omni train omni_plugin_detection:configs/composites_detection.py --work-dir work_dirs/composites
_base_ = ["composites_model.py"]

objectives = [
    dict(
        type="label_task",
        head="detection",
        slots=["image"],
        labels=["text"],
        targets=["boxes", "labels", "picture_size"],
    )
]
train_dataloader = dict(
    dataset=dict(type="composites", split="train", scenes=8000, kinds=0.7), batch_size=32, tables=True
)
train_cfg = dict(max_iters=6000)
