# Text to video and sound on the made scenes of `mix`: VALOR's grouping alignment over the groups tva, tv and ta. Scenes
# without a sound track lack `audio`. After mix_towers.py:
#   omni train omni_plugin_clips:configs/mix_groups.py --work-dir work_dirs/mix -o load_from=work_dirs/towers/model
#   omni clips-groups work_dirs/mix
_base_ = ["mix_model.py"]

objectives = [dict(type="grouping_alignment", slots=["text", "video", "audio"], shared_width=64)]
train_dataloader = dict(dataset=dict(type="mix", split="train"), batch_size=32, tables=True)
train_cfg = dict(max_iters=200)
