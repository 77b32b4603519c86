"""The model of ONE-PEACE (2023) at its published size, 4 billion parameters, with the decoder of its pretraining."""

model = dict(
    width=1536,
    num_layers=40,
    num_heads=24,
    ffn_width=6144,
    layer_scale=1e-6,
    drop_path=0.4,
    slots=dict(text="text", image="image", audio="audio"),
    adapters=dict(
        text=dict(vocab_size=50264, max_length=514, bucket=256, relative_bias="shared"),
        image=dict(stem="hmlp", patch_size=16, image_size=256, relative_bias="shared"),
        audio=dict(
            stem="wave",
            conv_width=512,
            position_layers=5,
            position_kernel=19,
            position_groups=16,
            bucket=512,
            relative_bias="shared",
        ),
    ),
    embedding_width=1536,
    decoder=dict(
        width=768,
        num_layers=2,
        num_heads=12,
        ffn_width=2048,
        positions=dict(text=dict(max_length=514), image=dict(grid=[16, 16]), audio=dict(max_length=1026)),
    ),
)
