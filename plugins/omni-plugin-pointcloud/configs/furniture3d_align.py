# furniture3d from scratch, four ways at once: InfoNCE over the six pairs of cloud, icon, name and spoken name. What is
# called the same, in whatever language, is not each other's negative. The text says the class too ("kitchen: fridge"):
# a text tower that never saw the word cannot know what a kitchen is.
#   omni data build furniture3d
#   omni train omni_plugin_pointcloud:configs/furniture3d_align.py --work-dir work_dirs/furniture3d
_base_ = ["furniture3d_model.py"]

objectives = [dict(type="info_nce", slots=["pointcloud", "image", "text", "audio"], labels="name")]
train_dataloader = dict(
    dataset=dict(type="furniture3d", split="train", text="class_and_name"), batch_size=64, tables=True
)
train_cfg = dict(max_iters=1500)
