# Whole films, a frame a second and one token a frame; positions by seconds, so that any length goes.
processor = dict(video=dict(modality="video", type="video_basic", size=224, sampling="time", rate=1.0, num_frames=0))
model = dict(
    slots=dict(video="video"),
    adapters=dict(video=dict(stem="patch", time="seconds", merge=14, image_size=224)),
)
