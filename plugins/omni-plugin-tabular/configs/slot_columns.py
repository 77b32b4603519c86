# A slot of named numbers, one token a column. The schema's columns are counted by the adapter.
# `omni tabular-schema train.csv --output schema.json` writes a schema; it is saved with the model.
processor = dict(tabular=dict(modality="tabular", type="tabular_basic", drop=0.1))
model = dict(slots=dict(tabular="tabular"), adapters=dict(tabular=dict(stem="tokens", columns=6)))
