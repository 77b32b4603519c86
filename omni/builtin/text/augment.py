"""Augmentations of text: words that are left out, spans that are masked."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.data.augment import Augmentation, chance
from omni.errors import ConfigError


class WordDropout(Augmentation):
    """Leaves out words, those between spaces; one always stays, and so does a text without spaces.

    Args:
        share: chance of each word (Iyyer et al., 2015).
    """

    def __init__(self, *, share: float = 0.1) -> None:
        self.share = chance(share, "word_dropout: share")

    def raw(self, raw: str) -> str:
        """A text of the words that stay, with one space between."""
        words = raw.split()
        if len(words) < 2:
            return raw
        kept = torch.rand(len(words)) >= self.share
        if not kept.any():
            kept[torch.randint(len(words), ())] = True
        return raw if kept.all() else " ".join(word for word, stays in zip(words, kept.tolist(), strict=True) if stays)


class SpanMask(Augmentation):
    """Hides runs of whole words, about a share of a text (SpanBERT, Joshi et al., 2020); one word always stays.

    Args:
        share: of the words, at most.
        length: words of a run.
        mask_id: id that stands in for each hidden token; None = the tokens are taken out.
    """

    def __init__(self, *, share: float = 0.15, length: int = 3, mask_id: int | None = None) -> None:
        self.share = chance(share, "span_mask: share")
        if not isinstance(length, int) or length < 1:
            raise ConfigError(f"span_mask: length is {length!r}; it must be a whole number of at least 1.")
        self.length, self.mask_id = length, mask_id

    def tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """ids_L and groups_L without the hidden words, or with the mask in their place."""
        if not {"ids_L", "groups_L"} <= tensors.keys():
            raise ConfigError("span_mask needs a tokenizer that tells words apart (groups_L), such as bpe.")
        groups_L = tensors["groups_L"]
        words = groups_L[groups_L >= 0].unique()
        budget = int(min(len(words) - 1, self.share * len(words) + float(torch.rand(()))))  # right on average
        hidden: set[int] = set()
        while len(hidden) < budget:
            run = min(self.length, budget - len(hidden))
            start = int(torch.randint(len(words) - run + 1, ()))
            hidden.update(words[start : start + run].tolist())
        if not hidden:
            return tensors
        hidden_L = torch.isin(groups_L, torch.tensor(sorted(hidden)))
        if self.mask_id is None:
            return {**tensors, "ids_L": tensors["ids_L"][~hidden_L], "groups_L": groups_L[~hidden_L]}
        return {**tensors, "ids_L": tensors["ids_L"].masked_fill(hidden_L, self.mask_id)}
