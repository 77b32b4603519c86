"""Scores against what follows by hand and from the definitions."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from omni.errors import InputError
from omni_plugin_captioning.scores import score_captions, words

TEXTS = ["a red car", "the dog runs on the grass", "two birds in a blue sky"]
REFERENCES = [
    ["a red car on a road", "one red car"],
    ["a dog runs on grass", "the dog is running on the green grass"],
    ["two birds fly in the blue sky"],
]


def test_words():
    assert words("  A red-hot CAR, isn't it?  ") == "a red-hot car isn't it" and words("...") == ""
    assert words("Ένα Αυτοκίνητο!") == "ένα αυτοκίνητο"


def test_a_perfect_text_has_the_highest_scores():
    found = score_captions([group[0] for group in REFERENCES], REFERENCES)
    assert found.exact == 1 and found.rouge_l == pytest.approx(100)
    assert all(value == pytest.approx(100) for value in found.bleu)


def bleu(order):
    """Papineni et al. 2002: clipped precisions of the corpus, geometric mean, brevity by the closest reference."""
    hits, totals = [0] * order, [0] * order
    length = closest = 0
    for text, group in zip(TEXTS, REFERENCES, strict=True):
        mine, others = text.split(), [item.split() for item in group]
        length += len(mine)
        closest += min((abs(len(o) - len(mine)), len(o)) for o in others)[1]
        for n in range(1, order + 1):
            grams = Counter(tuple(mine[i : i + n]) for i in range(len(mine) - n + 1))
            most = Counter()
            for other in others:
                most |= Counter(tuple(other[i : i + n]) for i in range(len(other) - n + 1))
            hits[n - 1] += sum(min(count, most[gram]) for gram, count in grams.items())
            totals[n - 1] += sum(grams.values())
    if not all(hits):
        return 0.0
    mean = sum(math.log(h / t) for h, t in zip(hits, totals, strict=True)) / order
    return 100 * min(1.0, math.exp(1 - closest / length)) * math.exp(mean)


def test_bleu_by_its_definition():
    found = score_captions(TEXTS, REFERENCES)
    assert found.bleu == pytest.approx([bleu(order) for order in range(1, 5)]) and found.bleu[1] > 0


def subsequence(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    return table[-1, -1]


def test_rouge_by_its_definition():
    best = []
    for text, group in zip(TEXTS, REFERENCES, strict=True):
        scores = []
        for reference in group:
            common = subsequence(text.split(), reference.split())
            scores.append(2 * common / (len(text.split()) + len(reference.split())))
        best.append(max(scores))
    assert score_captions(TEXTS, REFERENCES).rouge_l == pytest.approx(100 * np.mean(best))


def cider():
    """Vedantam et al. 2015 with CIDEr-D's clipping and length penalty (sigma 6): tf-idf cosines of 1 to 4 words."""

    def grams(text, n):
        items = text.split()
        return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))

    total = 0.0
    for text, group in zip(TEXTS, REFERENCES, strict=True):
        for n in range(1, 5):
            seen = Counter(gram for refs in REFERENCES for gram in {g for r in refs for g in grams(r, n)})
            weight = {gram: math.log(len(REFERENCES)) - math.log(max(1, seen[gram])) for gram in seen}
            empty = math.log(len(REFERENCES))

            def vector(source, n=n, weight=weight, empty=empty):
                return {g: count * weight.get(g, empty) for g, count in grams(source, n).items()}

            mine = vector(text)
            for reference in group:
                theirs = vector(reference)
                dot = sum(min(mine[g], theirs[g]) * theirs[g] for g in mine if g in theirs)
                norms = math.sqrt(sum(v * v for v in mine.values())) * math.sqrt(sum(v * v for v in theirs.values()))
                # the published code measures lengths in pairs of words
                gap = sum(grams(text, 2).values()) - sum(grams(reference, 2).values())
                value = dot / norms if norms else dot
                total += 10 * value * math.exp(-(gap**2) / (2 * 6.0**2)) / len(group) / 4
    return total / len(TEXTS)


def test_cider_by_its_definition():
    assert score_captions(TEXTS, REFERENCES).cider == pytest.approx(cider(), rel=1e-9)


def test_refusals():
    with pytest.raises(InputError, match="2 texts for 1"):
        score_captions(["a", "b"], [["a"]])
    with pytest.raises(InputError, match="sample 1 has no reference"):
        score_captions(["a", "b"], [["a"], ["..."]])
    assert score_captions([""], [["a"]]).exact == 0
