# How a run is logged, saved and seeded.
default_hooks = dict(
    checkpoint=dict(interval=1000, keep=2),
    logger=dict(interval=50),
)
tensorboard = False
seed = 0
