"""A tiny folder as Symile-M3's code writes it: made-up vectors that carry class and language, texts in two languages.

Quirks kept: flags of missingness are 1 where missing, on training and validation only; token numbers are int32, padded
to the longest text; the attention mask is float; languages stand in a text file.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch

LANGUAGES = ("en", "el")
NAMES = {"en": ("tench", "goldfish", "cock", "hen"), "el": ("glini", "chrysopsaro", "kokoras", "kota")}
SIZES = {"train": 128, "val": 12, "test": 10}
IMAGE, AUDIO, LENGTH, PAD = 16, 12, 24, 1


def symile_m3(root: Path, *, run_together: bool = False, suffix: str = "") -> Path:
    """``run_together``: language codes without line breaks, as found in merged splits; ``suffix``: "_full" likewise."""
    random = np.random.default_rng(0)
    for split, count in SIZES.items():
        folder = root / split
        folder.mkdir(parents=True, exist_ok=True)
        classes, spoken = random.integers(4, size=count), random.integers(2, size=count)
        image = random.normal(size=(count, IMAGE)).astype(np.float32) * 0.1
        image[np.arange(count), classes] += 1
        audio = random.normal(size=(count, AUDIO)).astype(np.float32) * 0.1
        audio[np.arange(count), spoken] += 1
        texts = [_text(int(kind), int(language), random) for kind, language in zip(classes, spoken, strict=True)]
        ids = np.full((count, LENGTH), PAD, np.int32)
        mask = np.zeros((count, LENGTH), np.float32)
        for row, text in enumerate(texts):
            tokens = [0, *[ord(letter) for letter in text], 2][:LENGTH]
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        codes = [LANGUAGES[place] for place in spoken]
        tensors = {
            "image": image, "audio": audio, "text_input_ids": ids, "text_attention_mask": mask, "cls_id": classes,
            "idx": np.arange(count) + 1000,
        }  # fmt: skip
        if split != "test":
            for slot in ("text", "image", "audio"):
                flags = random.random(count) < 0.65
                tensors[f"{slot}_missingness_prob65"] = flags.astype(np.int32)
        for name, value in tensors.items():
            torch.save(torch.from_numpy(value), folder / f"{name}_{split}{suffix}.pt")
        (folder / f"lang_{split}{suffix}.txt").write_text(("" if run_together else "\n").join(codes))
        with (root / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            names = ("lang", "audio_path", "audio_filename", "cls", "image_path", "cls_id", "target_text", "text")
            writer.writerow(names)
            for kind, code, text in zip(classes, codes, texts, strict=True):
                writer.writerow([code, f"cv/{code}/clips/a.mp3", "a", NAMES["en"][kind], "b.JPEG", kind, "", text])
    return root


def _text(kind: int, language: int, random: np.random.Generator) -> str:
    """The class in the spoken language and another one in the other, shuffled."""
    other = int(random.choice([number for number in range(4) if number != kind]))
    words = [NAMES[LANGUAGES[language]][kind], NAMES[LANGUAGES[1 - language]][other]]
    return "_".join(random.permutation(words))
