# An audio slot over log-mel patches: light enough for a laptop. Augmented against voices and microphones.
processor = dict(
    audio=dict(
        modality="audio",
        type="log_mel",
        max_seconds=4.0,
        time_masks=1,
        mel_masks=1,
        augment=dict(speed=0.1, eq_db=6.0, noise_db=15.0, shift_seconds=0.1),
    )
)
model = dict(
    slots=dict(audio="audio"),
    adapters=dict(audio=dict(stem="log_mel", patch_frames=4, position_layers=2, position_kernel=9)),
)
