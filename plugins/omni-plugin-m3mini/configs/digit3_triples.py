# Second stage on digit3: heads on the features of the three frozen towers.
# Set load_from to the first stage's model; exchange the objective for pair_sum to see that pairs stay at chance.
_base_ = ["digit3_align.py"]

load_except = ["projections", "logit_scale"]
freeze = ["*", "!projections", "!logit_scale"]
cache = ["image", "text", "mfcc"]
objectives = [dict(type="symile", slots=["image", "mfcc", "text"])]
train_dataloader = dict(dataset=dict(type="digit3", split="train"), batch_size=512)
train_cfg = dict(max_iters=500)
optim_wrapper = dict(clip_grad=dict(max_norm=5.0), optimizer=dict(weight_decay=0.01))
