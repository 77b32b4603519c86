# A text slot through the frozen multilingual E5 (pip install "omni-plugin-towers[e5]"), told apart from the mean text.
processor = dict(sentence=dict(modality="e5_small", center=True))
model = dict(slots=dict(sentence="e5_small"), adapters=dict(e5_small=dict(tokens="summary", projector="mlp")))
