# A text slot through a frozen sentence encoder, of which only the sentence goes to the core; features are remembered.
processor = dict(sentence=dict(modality="hf_text", path="checkpoints/all-MiniLM-L6-v2", truncate=True))
model = dict(
    slots=dict(sentence="hf_text"),
    adapters=dict(
        hf_text=dict(
            encoder=dict(path="checkpoints/all-MiniLM-L6-v2"), tokens="summary", projector="mlp", remember_mb=200
        )
    ),
)
