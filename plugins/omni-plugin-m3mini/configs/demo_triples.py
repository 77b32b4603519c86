# Second stage: heads on cached features of the three frozen towers.
# Set load_from to the first stage's model, the data set's w, and the objective.
_base_ = ["demo_model.py"]

load_except = ["projections", "logit_scale"]
freeze = ["*", "!projections", "!logit_scale"]
cache = ["image", "text", "audio"]
objectives = [dict(type="symile", slots=["image", "text", "audio"])]
train_dataloader = dict(
    dataset=dict(type="m3mini", edition="demo", w=3, view="triples", split="train", seed=1, rows=40000), batch_size=256
)
train_cfg = dict(max_iters=700)
optim_wrapper = dict(clip_grad=dict(max_norm=5.0), optimizer=dict(weight_decay=0.01))
