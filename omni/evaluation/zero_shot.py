"""Zero-shot classification: class names in prompts, embedded and averaged (Radford et al., 2021, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.evaluation.encoded import EncodedSamples
from omni.inference import OmniPredictor
from omni.metrics.bootstrap import Bootstrap
from omni.metrics.classification import ClassificationNumbers, classification_numbers, predict
from omni.metrics.ranks import TIE
from omni.progress import Progress
from omni.scoring import query_vectors

PLACE = "{}"
CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Classification:
    """A classification and how it was made.

    Attributes:
        method: "zero-shot", "linear probe" or "k-NN".
        slots: what was classified.
        numbers: the result.
        classes: their names; empty where they are only numbers.
        settings: of the method, as JSON values.
    """

    method: str
    slots: tuple[str, ...]
    numbers: ClassificationNumbers
    classes: tuple[str, ...] = ()
    settings: dict[str, Any]

    @property
    def title(self) -> str:
        """ "zero-shot: a + b"."""
        return f"{self.method}: {' + '.join(self.slots)}"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"method": self.method, "slots": list(self.slots), **self.numbers.to_dict(), "settings": self.settings}


def class_embeddings(
    model: OmniPredictor,
    slot: str,
    classes: Sequence[str],
    *,
    templates: Sequence[str] = (PLACE,),
    unit: bool = True,
    batch_size: int = 64,
    progress: Progress = None,
) -> Tensor:
    """(C, E): for each class the mean of its prompts' embeddings.

    Args:
        slot: that takes the prompts.
        templates: prompts with ``{}`` in the class name's place.
        unit: embeddings are brought to unit length before averaging, and the mean after it.

    Raises:
        ConfigError: no template, or one without a place for the name.
        InputError: fewer than two classes, or two of one name.
    """
    if not templates or any(PLACE not in template for template in templates):
        raise ConfigError(f"templates={list(templates)}: each needs {PLACE} where the class name goes.")
    if len(classes) < 2:
        raise InputError(f"Classification needs two classes or more, not {len(classes)}.")
    if len(set(classes)) < len(classes):
        twice = next(name for number, name in enumerate(classes) if name in classes[:number])
        raise InputError(f"Two classes are called {twice!r}, so no prompt can tell them apart. Name them differently.")
    prompts = [template.replace(PLACE, name) for name in classes for template in templates]
    embedded = model.encode(batch_size=batch_size, progress=progress, **{slot: prompts})[slot]
    parts_CTE = embedded.view(len(classes), len(templates), -1)
    if not unit:
        return parts_CTE.mean(1)
    return F.normalize(F.normalize(parts_CTE, dim=-1).mean(1), dim=-1)


def zero_shot(
    model: OmniPredictor,
    encoded: EncodedSamples,
    slots: Sequence[str],
    *,
    prompts: str,
    classes: Sequence[str],
    templates: Sequence[str] = (PLACE,),
    label: str = "class",
    ks: Sequence[int] = (1, 5),
    bootstrap: Bootstrap | None = None,
    batch_size: int = 64,
    progress: Progress = None,
) -> Classification:
    """Classify samples by the score of their slots with each class's prompts.

    The score is the one that the slots and the prompts' slot were trained under. Classes whose scores tie with the
    right one's count against it, so a model that says the same of everything scores 0.

    Args:
        encoded: the samples.
        slots: classified together.
        prompts: the slot that takes the prompts.
        classes: names, in the order of the label's numbers.
        label: whole-numbered target of the samples.

    Raises:
        OmniError: the slots were not trained together with the prompts' slot.
        InputError: a sample without label or with one beyond the classes; no sample with all slots.
    """
    if prompts in slots:
        raise ConfigError(f"The slot {prompts!r} takes the prompts, so it cannot be classified. Name other slots.")
    score = model.score([*slots, prompts], target=prompts)
    samples_M = encoded.having(slots)
    if not len(samples_M):
        raise InputError(f"No sample has all of the slots {', '.join(slots)}.")
    labels_M = check_labels(encoded.labels(label, samples_M), len(classes), label)
    weights_CE = class_embeddings(
        model, prompts, classes, templates=templates, unit=score.unit, batch_size=batch_size, progress=progress
    )
    longest = weights_CE.norm(dim=1).amax()
    missing, ranks, given = model.missing_embeddings(), [], []
    for start in range(0, len(samples_M), CHUNK):
        part = samples_M[start : start + CHUNK]
        vectors_QE = query_vectors(score, {slot: encoded.of(slot, part) for slot in slots}, missing).vectors_QE
        tolerance_Q = TIE * longest * vectors_QE.norm(dim=1)
        found = predict(vectors_QE @ weights_CE.T, labels_M[start : start + CHUNK], tolerance_N=tolerance_Q)
        ranks.append(found.rank_N)
        given.append(found.given_N)
    return Classification(
        method="zero-shot",
        slots=tuple(slots),
        numbers=classification_numbers(
            torch.cat(ranks), torch.cat(given), labels_M, classes=len(classes), ks=ks, bootstrap=bootstrap
        ),
        classes=tuple(classes),
        settings={"prompts": prompts, "score": score.kind, "templates": list(templates), "label": label},
    )


def check_labels(labels_M: Tensor, classes: int, label: str) -> Tensor:
    """The labels, if all lie in [0, classes).

    Raises:
        InputError: they do not.
    """
    low, high = int(labels_M.min()), int(labels_M.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"The target {label!r} has the number {low if low < 0 else high}, but there are {classes} classes, 0 to "
            f"{classes - 1}. Give the names of all classes."
        )
    return labels_M
