# A slot of named numbers as one token: an MLP over percentiles and flags, as Symile-MIMIC's laboratory values.
processor = dict(tabular=dict(modality="tabular", type="tabular_basic"))
model = dict(slots=dict(tabular="tabular"), adapters=dict(tabular=dict(stem="mlp", columns=6, hidden=(256, 1024))))
