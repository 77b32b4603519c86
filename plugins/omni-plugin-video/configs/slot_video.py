# A video slot: transform for `processor`, adapter for `model`. Use it through `_base_`, or copy the lines.
processor = dict(video=dict(modality="video", type="video_basic", size=224, num_frames=8))
model = dict(
    slots=dict(video="video"),
    adapters=dict(video=dict(stem="tubelet", tubelet=2, num_steps=4, image_size=224)),
)
