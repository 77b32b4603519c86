# First stage: each tower learns its own job, for every objective alike. Picture, word and spoken word of the same thing
# by InfoNCE over two pairs (samples of one class or one word are not each other's negatives); the sound tower which
# language is spoken; the text tower which class a list of names names in each language.
_base_ = ["demo_model.py"]

# Unit vectors here; the second stage puts heads of its own on the towers.
model = dict(
    embedding_norm="l2",
    projection="linear",
    logit_scale=dict(_delete_=True, init=1 / 0.07, max=100.0),
    slots=dict(list="text"),
)
processor = dict(list=dict(modality="text", type="bpe"))
objectives = [
    dict(type="info_nce", slots=["text", "audio"], labels="word"),
    dict(type="info_nce", slots=["image", "text"], labels="class"),
    dict(type="label_prediction", slots=["audio"], labels="language", num_classes=3),
    dict(type="label_prediction", slots=["list"], labels="named_en", num_classes=50),
    dict(type="label_prediction", slots=["list"], labels="named_ru", num_classes=50),
    dict(type="label_prediction", slots=["list"], labels="named_el", num_classes=50),
]
train_dataloader = dict(
    dataset=dict(type="m3mini", edition="demo", w=3, view="spoken", split="train", lists=60000),
    batch_size=96,
    tables=True,
)
train_cfg = dict(max_iters=600)
