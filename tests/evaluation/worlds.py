"""Data sets of the tests' modalities: pictures with several captions, and classes in two splits."""

from __future__ import annotations

import numpy as np

from omni.types import Sample

WORDS = ["cat", "dog", "horse", "bird", "fish", "cow", "pig", "hen"]


def wave(number, shift=0.0):
    return np.sin(np.arange(8, dtype=np.float32) * (number + 1) + shift)


class Captions:
    """Four pictures ("left") with three captions each ("word"), the last of which two pictures share; a clip
    ("right") a sample, which the last sample lacks."""

    def __init__(self):
        self.rows = []
        for picture in range(4):
            for number in range(3):
                word = WORDS[(2 * picture + number) % len(WORDS)]
                values = {"left": wave(picture), "word": word, "right": wave(len(self.rows), 0.3)}
                keys = {"left": f"picture-{picture}", "word": word}
                self.rows.append(Sample(id=str(len(self.rows)), values=values, keys=keys))
        del self.rows[-1].values["right"]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Classes:
    """Waves of four frequencies; the class is the frequency."""

    classes = WORDS[:4]

    def __init__(self, split="test", count=40):
        shifts = np.random.default_rng(len(split)).uniform(0, 0.6, count)
        self.rows = [
            Sample(
                id=f"{split}-{number}",
                values={
                    "left": wave(number % 4, shift),
                    "right": wave(number % 4, 2 * shift),
                    "word": WORDS[number % 4],
                },
                keys={"word": WORDS[number % 4]},
                targets={"class": np.int64(number % 4), "half": number % 2},
            )
            for number, shift in enumerate(shifts)
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]
