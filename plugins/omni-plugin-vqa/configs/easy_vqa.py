# easy-VQA on one core: the picture (16-pixel patches) and the question in one sequence, 13 answers.
#   omni data build easy_vqa
#   omni train omni_plugin_vqa:configs/easy_vqa.py --work-dir work_dirs/easy_vqa
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=96,
    num_layers=3,
    num_heads=4,
    ffn_width=192,
    layer_scale=1.0,
    embedding_width=32,
    slots=dict(image="image", question="text"),
    adapters=dict(image=dict(stem="hmlp", image_size=64), text=dict(max_length=24)),
    heads=dict(
        vqa=dict(
            type="answer_choice",
            answers=[
                "circle",
                "green",
                "red",
                "gray",
                "yes",
                "teal",
                "black",
                "rectangle",
                "yellow",
                "triangle",
                "brown",
                "blue",
                "no",
            ],
            question="question",
        )
    ),
)
processor = dict(
    image=dict(modality="image", type="image_basic", size=64, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)),
    question=dict(modality="text", type="bpe"),
)
objectives = [dict(type="task", slots=["image", "question"], head="vqa", targets=["answer"])]
train_dataloader = dict(dataset=dict(type="easy_vqa", split="train"), batch_size=96)
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05), clip_grad=dict(max_norm=1.0)
)
param_scheduler = dict(type="warmup_cosine", warmup=0.05, min_lr=1e-6)
train_cfg = dict(max_iters=2500)
default_hooks = dict(checkpoint=dict(interval=100000, keep=2), logger=dict(interval=50))
