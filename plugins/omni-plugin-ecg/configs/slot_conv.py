# An ECG slot of convolutions averaged over the leads: 50 tokens for ten seconds, light enough for a laptop.
processor = dict(
    ecg=dict(
        modality="ecg",
        type="ecg_basic",
        sample_rate=250,
        max_seconds=10.0,
        crop="random",
        augment=dict(lead_drop=0.1, gain=0.1, noise_mv=0.02, wander_mv=0.05),
    )
)
model = dict(slots=dict(ecg="ecg"), adapters=dict(ecg=dict(stem="conv", conv_strides=(5, 5, 2))))
