# First stage: picture, word and spoken word of the same thing, for every objective alike. InfoNCE over two pairs
# (samples of one class or one word are not each other's negatives), and which language is spoken.
_base_ = ["demo_model.py"]

# Unit vectors here; the second stage puts heads of its own on the towers.
model = dict(embedding_norm="l2", projection="linear", logit_scale=dict(_delete_=True, init=1 / 0.07, max=100.0))
objectives = [
    dict(type="info_nce", slots=["text", "audio"], labels="word"),
    dict(type="info_nce", slots=["image", "text"], labels="class"),
    dict(type="label_prediction", slots=["audio"], labels="language", num_classes=3),
]
train_dataloader = dict(
    dataset=dict(type="m3mini", edition="demo", w=3, view="spoken", split="train"), batch_size=96, tables=True
)
train_cfg = dict(max_iters=600)
