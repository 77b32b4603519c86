"""Answers to visual questions: how they are compared and scored.

The score of an answer is that of the VQA challenge (Antol et al. 2015, Goyal et al. 2017): it is compared with nine of
the ten human answers, once for each that is left out, gets min(1, equal answers / 3), and these ten numbers are
averaged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ENOUGH = 3
ARTICLES = {"a", "an", "the"}
DIGITS = {word: str(number) for number, word in enumerate(
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)} | {"none": "0"}  # fmt: skip
_NEGATED = "ain are could did does do had has have is might must need should was were wo would ca"
_SHORTENED = (
    "he'd he's i'd i'm i've it'd it'll let's she'd she's that'd that's there's they'd they'll they're they've we've "
    "what's where's who's you'd you'll you're you've"
)
CONTRACTIONS = {f"{stem}nt": f"{stem}n't" for stem in _NEGATED.split()} | {
    word.replace("'", ""): word for word in _SHORTENED.split()
}
_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_NUMBER_COMMA = re.compile(r"(?<=\d),(?=\d)")
_END_OF_SENTENCE = re.compile(r"\.(?!\d)")


def normalize_answer(text: str) -> str:
    """An answer as it is compared: lower case, no articles, digits for the words to ten, apostrophes put back, no
    punctuation. Made after the rules of the challenge's scorer, whose table of contractions is longer; for numbers of a
    leaderboard use that scorer.
    """
    text = " ".join(text.split())
    for mark in _MARKS:
        if mark not in text:
            continue
        beside_space = f"{mark} " in text or f" {mark}" in text or _NUMBER_COMMA.search(text) is not None
        text = text.replace(mark, "" if beside_space else " ")
    text = _END_OF_SENTENCE.sub("", text)
    words = [DIGITS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def soft_score(answer: str, given: Sequence[str]) -> float:
    """The score in 0 ... 1 of one answer against those that people gave (ten), all normalised alike.

    Of ten answers, one that was given 1, 2, 3, 4 times scores .3, .6, .9, 1.
    """
    equal = [answer == each for each in given]
    total = sum(equal)
    return sum(min(1.0, (total - left_out) / ENOUGH) for left_out in equal) / len(equal) if equal else 0.0


def soft_scores(given: Sequence[str]) -> dict[str, float]:
    """answer -> score, of every distinct answer that people gave, the most frequent first."""
    distinct = sorted(set(given), key=lambda answer: (-given.count(answer), given.index(answer)))
    return {answer: soft_score(answer, given) for answer in distinct}
