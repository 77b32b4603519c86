# A curriculum after UnIVAL (2023): pictures and names first, then sound beside them, then sound's own parts alone.
#   omni train omni:configs/examples/curriculum.py --work-dir work_dirs/curriculum
# A stage goes on from the weights of the one before, with an optimizer and a schedule of its own. Each step of the
# second stage holds its sources in fixed ratios, however large they are. Needs what three_slots.py needs.
_base_ = "omni:configs/examples/three_slots.py"

_pairs = dict(type="m3mini", edition="demo", w=3, view="aligned", split="train")
stages = [
    dict(name="pictures", max_iters=200, objectives=[dict(type="info_nce", slots=["image", "text"], labels="class")]),
    dict(
        name="sound_joins",
        max_iters=200,
        train_dataloader=dict(
            dataset=dict(
                _delete_=True,
                type="mixed",
                sources=dict(aligned=_pairs, triples=dict(type="m3mini", edition="demo", w=3, split="train")),
                ratios=dict(aligned=3, triples=1),
                run=64,
            )
        ),
        objectives=[dict(type="info_nce", slots=["image", "text", "audio"], labels="class")],
    ),
    dict(
        name="sound_alone",
        max_iters=100,
        freeze=["*", "!adapters.audio", "!core.*.experts.audio", "!core.final_norms.audio", "!projections.audio"],
        cache=["image", "text"],
    ),
]
train_cfg = dict(val_interval=100)
