# An ECG slot of patches in time per lead: 0.2 s of one lead a token, twelve leads of ten seconds are 600 tokens.
processor = dict(ecg=dict(modality="ecg", type="ecg_basic", sample_rate=250, max_seconds=10.0))
model = dict(slots=dict(ecg="ecg"), adapters=dict(ecg=dict(stem="patch", patch=50)))
