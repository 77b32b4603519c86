"""Probes of frozen embeddings: a linear classifier and nearest neighbours, fitted on one split, measured on another."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from omni.errors import ConfigError, InputError
from omni.evaluation.encoded import EncodedSamples
from omni.evaluation.zero_shot import Classification, check_labels
from omni.metrics.bootstrap import Bootstrap
from omni.metrics.classification import classification_numbers
from omni.metrics.linear_probe import STRENGTHS, fit_linear_probe
from omni.metrics.neighbours import nearest_neighbours

METHODS = ("linear", "knn")


def probe(
    train: EncodedSamples,
    test: EncodedSamples,
    slot: str,
    *,
    method: str = "linear",
    label: str = "class",
    ks: Sequence[int] = (1, 5),
    neighbours: int = 20,
    temperature: float | None = 0.07,
    strength: float | Sequence[float] = STRENGTHS,
    class_names: Sequence[str] = (),
    bootstrap: Bootstrap | None = None,
    seed: int = 0,
) -> Classification:
    """Classify the test samples' embeddings of one slot by what the training samples' say.

    Args:
        train, test: encoded splits that share no sample.
        slot: whose embeddings are classified; samples without it are left out.
        method: "linear" (see fit_linear_probe) or "knn" (see nearest_neighbours).
        label: whole-numbered target.
        neighbours, temperature: of "knn". strength, seed: of "linear".
        class_names: for the report.

    Raises:
        ConfigError: an unknown method.
        InputError: no sample with slot and label, or a sample that is in both splits.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r} is not known; use one of {', '.join(METHODS)}.")
    both = set(train.ids) & set(test.ids)
    if both:
        raise InputError(
            f"{len(both)} samples are in the training data and in the test data, such as {min(both)!r}: a probe would "
            "recognise them. Give another split to train on."
        )
    (x, labels), (test_x, test_labels) = (_rows(part, slot, label, name) for part, name in _named(train, test))
    classes = 1 + max(int(labels.max()), int(test_labels.max()), len(class_names) - 1)
    check_labels(labels, classes, label)
    check_labels(test_labels, classes, label)
    if method == "knn":
        found = nearest_neighbours(
            x, labels, test_x, test_labels, classes=classes, k=neighbours, temperature=temperature
        )
        settings = {"neighbours": neighbours, "temperature": temperature}
    else:
        fitted = fit_linear_probe(x, labels, classes=classes, strength=strength, seed=seed)
        found = fitted.predict(test_x, test_labels)
        settings = {"strength": fitted.strength}
    return Classification(
        method={"linear": "linear probe", "knn": "k-NN"}[method],
        slots=(slot,),
        numbers=classification_numbers(
            found.rank_N, found.given_N, test_labels, classes=classes, ks=ks, bootstrap=bootstrap
        ),
        classes=tuple(class_names),
        settings={**settings, "label": label, "train_samples": len(x)},
    )


def _named(train: EncodedSamples, test: EncodedSamples) -> list[tuple[EncodedSamples, str]]:
    return [(train, "training"), (test, "test")]


def _rows(encoded: EncodedSamples, slot: str, label: str, name: str) -> tuple[Tensor, Tensor]:
    samples_M = encoded.having([slot])
    if not len(samples_M):
        raise InputError(f"No {name} sample has the slot {slot!r}.")
    return encoded.of(slot, samples_M), encoded.labels(label, samples_M)
