"""Scores of texts against reference texts: BLEU, ROUGE-L and CIDEr by kept-up libraries; no Java is run.

Texts are compared in lower case without punctuation, word by word. The published evaluation of COCO captions runs
Stanford's tokenizer in Java instead: numbers agree where that tokenizer only lowers case and drops punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import sacrebleu
from pycocoevalcap.cider.cider import Cider
from rouge_score import rouge_scorer
from rouge_score.tokenizers import Tokenizer

from omni.errors import InputError

_WORD = re.compile(r"\w+(?:['-]\w+)*", re.UNICODE)


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """Means over all samples.

    Attributes:
        bleu: corpus BLEU of one to four words, 0..100 (Papineni et al. 2002), without smoothing.
        rouge_l: F-measure of the longest common subsequence with the best reference, 0..100 (Lin 2004).
        cider: 0..10 (Vedantam et al. 2015), as pycocoevalcap computes it; its word weights come from these references,
            so numbers of different sets do not compare.
        exact: share of the texts that are one of their references, word by word.
        samples: how many.
    """

    bleu: tuple[float, float, float, float]
    rouge_l: float
    cider: float
    exact: float
    samples: int


class _Words(Tokenizer):  # type: ignore[misc]
    def tokenize(self, text: str) -> list[str]:
        return text.split()


def words(text: str) -> str:
    """Lower case, punctuation dropped, one blank between words."""
    return " ".join(_WORD.findall(text.lower()))


def score_captions(texts: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """All scores.

    Args:
        texts: one a sample. references: one or more texts for each.

    Raises:
        InputError: no samples, lists of different length, or a sample without a reference that holds a word.
    """
    if not texts or len(texts) != len(references):
        raise InputError(f"score_captions: {len(texts)} texts for {len(references)} lists of references.")
    found = [words(text) for text in texts]
    known = [[words(text) for text in group if words(text)] for group in references]
    empty = next((number for number, group in enumerate(known) if not group), None)
    if empty is not None:
        raise InputError(f"score_captions: sample {empty} has no reference with a word in it.")
    cider, _ = Cider().compute_score(dict(enumerate(known)), {number: [text] for number, text in enumerate(found)})
    return CaptionScores(
        bleu=_bleu(found, known),
        rouge_l=100 * _rouge_l(found, known),
        cider=float(cider),
        exact=sum(text in group for text, group in zip(found, known, strict=True)) / len(found),
        samples=len(found),
    )


def _bleu(found: list[str], known: list[list[str]]) -> tuple[float, float, float, float]:
    most = max(map(len, known))
    columns = [[group[place] if place < len(group) else None for group in known] for place in range(most)]
    scorers = [sacrebleu.BLEU(tokenize="none", max_ngram_order=order, smooth_method="none") for order in range(1, 5)]
    one, two, three, four = (float(scorer.corpus_score(found, columns).score) for scorer in scorers)
    return one, two, three, four


def _rouge_l(found: list[str], known: list[list[str]]) -> float:
    scorer = rouge_scorer.RougeScorer(["rougeL"], tokenizer=_Words())
    best = (
        max(scorer.score(reference, text)["rougeL"].fmeasure for reference in group)
        for text, group in zip(found, known, strict=True)
    )
    return sum(best) / len(found)
