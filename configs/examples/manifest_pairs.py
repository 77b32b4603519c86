# Pictures and their captions from a manifest with the columns "image" and "text" (JSON lines, Parquet, CSV or TSV):
#   omni train omni:configs/examples/manifest_pairs.py -o train_dataloader.dataset.path=captions.jsonl
# Needs omni-plugin-image.
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=192,
    num_layers=6,
    num_heads=6,
    ffn_width=512,
    embedding_width=128,
    slots=dict(image="image", text="text"),
    drop_path=0.1,
)
processor = dict(image=dict(), text=dict())
objectives = [dict(type="info_nce", slots=["image", "text"])]
train_dataloader = dict(dataset=dict(type="manifest", path="captions.jsonl"), batch_size=64, num_workers=2)
train_cfg = dict(max_iters=10000)
