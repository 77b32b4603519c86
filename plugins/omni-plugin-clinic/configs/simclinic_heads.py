# Second stage: heads on cached features of the three frozen towers. Set load_from to the first stage's model; exchange
# the objective for pair_sum to see that pairs alone stay at their ceiling.
_base_ = ["simclinic_model.py"]

load_except = ["projections", "logit_scale"]
freeze = ["*", "!projections", "!logit_scale"]
cache = ["xray", "ecg", "labs"]
objectives = [dict(type="symile", slots=["xray", "ecg", "labs"])]
train_dataloader = dict(
    dataset=dict(type="simclinic", edition="bench", split="train", slots=["xray", "ecg", "labs"]), batch_size=256
)
train_cfg = dict(max_iters=600)
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.01), clip_grad=dict(max_norm=5.0))
