# First stage, for every objective alike: each tower learns what its own kind of data shows, and nothing of the others.
_base_ = ["simclinic_model.py"]

objectives = [
    dict(type="label_prediction", slots=["xray"], labels="c", num_classes=2, init_std=0.2),
    dict(type="label_prediction", slots=["xray"], labels="f", num_classes=2, init_std=0.2),
    dict(type="label_prediction", slots=["xray"], labels="s", num_classes=5, init_std=0.2),
    dict(type="label_prediction", slots=["ecg"], labels="c", num_classes=2, init_std=0.2),
    dict(type="label_prediction", slots=["ecg"], labels="e", num_classes=5, init_std=0.2),
    dict(type="label_prediction", slots=["labs"], labels="f", num_classes=2, init_std=0.2),
    dict(type="label_prediction", slots=["labs"], labels="l", num_classes=5, init_std=0.2),
]
train_dataloader = dict(
    dataset=dict(type="simclinic", edition="bench", split="train", slots=["xray", "ecg", "labs"]),
    batch_size=64,
    tables=True,
)
train_cfg = dict(max_iters=700)
