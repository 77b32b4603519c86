"""Several measurements of one model on one data set, for which every value goes through the model once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from omni.errors import ConfigError, InputError
from omni.evaluation.encoded import EncodedSamples, encode_samples
from omni.evaluation.geometry import measure_geometry
from omni.evaluation.probes import probe
from omni.evaluation.report import Report
from omni.evaluation.retrieval import (
    RetrievalSettings,
    choose_slots,
    directions,
    encode_gallery,
    evaluate_directions,
    measure_direction,
)
from omni.evaluation.zero_shot import PLACE, zero_shot
from omni.inference import OmniPredictor
from omni.metrics.bootstrap import Bootstrap
from omni.progress import Progress

__all__ = ["Bootstrap", "Plan", "RetrievalSettings", "ZeroShotSettings", "run_plan"]


@dataclass(frozen=True, kw_only=True)
class ZeroShotSettings:
    """What is classified by which prompts.

    Attributes:
        slots: classified together. prompts: the slot that takes the prompts.
        classes: names by class number; empty = the data set's ``classes``, if these are strings.
        templates: prompts with ``{}`` for the name.
    """

    slots: tuple[str, ...]
    prompts: str
    classes: tuple[str, ...] = ()
    templates: tuple[str, ...] = (PLACE,)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        query, target: of one direction; None = from the trained groups, see ``evaluate``.
        every_direction: all of them instead.
        retrieval: whether to search. search: how; its bootstrap serves all intervals.
        zero_shot: None = none.
        linear, knn: slots to probe; these need training data.
        neighbours: of k-NN.
        geometry: of all slots that are embedded.
        class_label: target of zero-shot and probes; retrieval has its own.
        seed: of the probe's choice of its strength; intervals have their own.
    """

    query: tuple[str, ...] | None = None
    target: str | None = None
    every_direction: bool = False
    retrieval: bool = True
    search: RetrievalSettings = field(default_factory=RetrievalSettings)
    zero_shot: ZeroShotSettings | None = None
    linear: tuple[str, ...] = ()
    knn: tuple[str, ...] = ()
    neighbours: int = 20
    geometry: bool = False
    class_label: str = "class"
    seed: int = 0

    @property
    def probes(self) -> tuple[tuple[str, str], ...]:
        """(method, slot) of each."""
        return (*(("linear", slot) for slot in self.linear), *(("knn", slot) for slot in self.knn))

    def check(self, model: OmniPredictor, *, has_training_data: bool) -> None:
        """Refuse before anything is encoded what cannot be measured.

        Raises:
            ConfigError, InputError: names what is wrong.
        """
        if not (self.retrieval or self.zero_shot or self.probes or self.geometry):
            raise ConfigError("Nothing is to be measured: retrieval is off, and no other measurement is named.")
        if self.every_direction and (self.query or self.target):
            raise ConfigError("Every direction, or one query and target: name either.")
        if self.probes and not has_training_data:
            raise ConfigError("A probe is fitted on training data: give a training data set beside the one to test on.")
        for _, slot in self.probes:
            model.processor.require(slot, what="This model")
        if self.zero_shot is not None:
            for slot in (*self.zero_shot.slots, self.zero_shot.prompts):
                model.processor.require(slot, what="This model")
            model.score([*self.zero_shot.slots, self.zero_shot.prompts], target=self.zero_shot.prompts)


def run_plan(
    model: OmniPredictor,
    dataset: Any,
    plan: Plan,
    *,
    train: Any = None,
    model_name: str = "",
    dataset_name: str = "",
    batch_size: int = 64,
    progress: Progress = None,
) -> Report:
    """Measure everything that the plan names.

    Args:
        dataset: map-style or iterable, items are Samples.
        train: what probes are fitted on.
        model_name, dataset_name: for the report.

    Raises:
        OmniError: something cannot be measured; said before encoding where that can be known.
    """
    plan.check(model, has_training_data=train is not None)
    settings, ways = plan.search, _ways(model, plan)
    only_one = len(ways) == 1 and not (plan.zero_shot or plan.probes or plan.geometry)
    searched = [target for _, target in ways]
    slots = _slots(model, plan, ways)
    options = {"batch_size": batch_size, "progress": progress}
    encoded = encode_samples(model, dataset, slots, require=slots if only_one else (), **options)
    report = Report(model=model_name, dataset=dataset_name, confidence=settings.bootstrap.confidence)
    if plan.retrieval:
        gallery = encode_gallery(model, dataset, encoded, searched, settings, **options)
        if plan.every_direction:
            report.retrieval = evaluate_directions(model, encoded, gallery, settings)
        else:
            report.retrieval = [measure_direction(model, encoded, gallery, *ways[0], settings)]
    _classify(model, dataset, encoded, train, plan, report, options)
    if plan.geometry:
        report.geometry = measure_geometry(model, encoded)
    return report


def _classify(
    model: OmniPredictor,
    dataset: Any,
    encoded: EncodedSamples,
    train: Any,
    plan: Plan,
    report: Report,
    options: dict[str, Any],
) -> None:
    bootstrap = plan.search.bootstrap
    names = _class_names(dataset, plan.zero_shot)
    if plan.zero_shot is not None:
        if not names:
            raise InputError("Zero-shot classification needs the classes' names, which the data set does not have.")
        report.classification.append(
            zero_shot(
                model,
                encoded,
                plan.zero_shot.slots,
                prompts=plan.zero_shot.prompts,
                classes=names,
                templates=plan.zero_shot.templates,
                label=plan.class_label,
                bootstrap=bootstrap,
                **options,
            )
        )
    if not plan.probes:
        return
    trained = encode_samples(model, train, dict.fromkeys(slot for _, slot in plan.probes), **options)
    for method, slot in plan.probes:
        report.classification.append(
            probe(
                trained, encoded, slot, method=method, label=plan.class_label, neighbours=plan.neighbours,
                class_names=names, bootstrap=bootstrap, seed=plan.seed,
            )
        )  # fmt: skip


def _ways(model: OmniPredictor, plan: Plan) -> list[tuple[list[str], str]]:
    """Directions to measure, whose scores mean something."""
    if not plan.retrieval:
        return []
    if plan.every_direction:
        found = directions(model)
        if not found:
            raise ConfigError("This model records no trained group, so no direction can be measured.")
        return found
    query, target = choose_slots(model, plan.query, plan.target)
    model.score([*query, target], target=target)
    return [(query, target)]


def _slots(model: OmniPredictor, plan: Plan, ways: Sequence[tuple[Sequence[str], str]]) -> list[str]:
    """Slots to embed, in the model's order."""
    wanted = {slot for query, target in ways for slot in (*query, target)} | {slot for _, slot in plan.probes}
    if plan.zero_shot is not None:
        wanted |= set(plan.zero_shot.slots)
    if plan.geometry:
        wanted |= set(model.slots)
    return [slot for slot in model.slots if slot in wanted]


def _class_names(dataset: Any, settings: ZeroShotSettings | None) -> tuple[str, ...]:
    if settings is not None and settings.classes:
        return settings.classes
    names = getattr(dataset, "classes", ())
    if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()
