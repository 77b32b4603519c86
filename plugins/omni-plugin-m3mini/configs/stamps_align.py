# stamps from scratch: picture, name and spoken name of the same thing, by InfoNCE over the three pairs.
# Objects that are called the same are not each other's negatives.
_base_ = ["demo_model.py"]

# Unit vectors and one linear map a slot, as where no second stage follows.
model = dict(embedding_norm="l2", projection="linear", logit_scale=dict(_delete_=True, init=1 / 0.07, max=100.0))
processor = dict(audio=dict(max_seconds=2.5))
objectives = [
    dict(type="info_nce", slots=["image", "text"], labels="group"),
    dict(type="info_nce", slots=["image", "audio"], labels="group"),
    dict(type="info_nce", slots=["text", "audio"], labels="group"),
]
train_dataloader = dict(dataset=dict(type="stamps", split="train"), batch_size=96, tables=True)
train_cfg = dict(max_iters=800)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
default_hooks = dict(logger=dict(interval=50))
