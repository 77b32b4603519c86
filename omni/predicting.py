"""Answers of a model's task heads: which head does a task, and values through core and head in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from omni.encoding import Prepared, prepare_batches
from omni.errors import InputError, OmniError
from omni.heads.base import Head
from omni.progress import Progress, show_progress
from omni.types import CoreOutput, Prediction

if TYPE_CHECKING:
    from omni.core.model import OmniModel
    from omni.inference import OmniPredictor


def find_head(model: OmniModel, task: str, head: str | None = None) -> str:
    """The name of the model's head that does the task.

    Args:
        head: its name, where the model has several for one task; None = the only one.

    Raises:
        OmniError: there is none, or several and ``head`` does not say which.
    """
    tasks = head_tasks(model)
    if head is not None:
        if head not in tasks:
            raise OmniError(f"This model has no head {head!r}; it has {', '.join(tasks) or 'none'}.")
        if task not in ("", tasks[head]):
            raise OmniError(f"The head {head!r} does {tasks[head]}, not {task}.")
        return head
    fitting = [name for name, what in tasks.items() if what == task]
    if not fitting:
        has = ", ".join(f"{name} ({what})" for name, what in tasks.items()) or "none"
        raise OmniError(
            f"This model has no head for {task} (heads: {has}). Load a model that was trained for it, or train one "
            f"with a head of that task in the model's `heads` and the objective 'task'."
        )
    if len(fitting) > 1:
        raise OmniError(f"This model has several heads for {task}: {', '.join(fitting)}. Name one: head=...")
    return fitting[0]


def head_tasks(model: OmniModel) -> dict[str, str]:
    """head -> its task, as the catalog says."""
    from omni.plugin.catalog import get_catalog

    entries = {name: str(options.get("type", name)) for name, options in model.config.heads.items()}
    return {name: get_catalog().get("head", kind).spec.task for name, kind in entries.items()}


@torch.inference_mode()
def predict(
    predictor: OmniPredictor,
    head: str,
    values: Mapping[str, Sequence[Any]],
    *,
    batch_size: int = 32,
    progress: Progress = None,
    num_workers: int | None = None,
    **options: Any,
) -> list[Prediction]:
    """One Prediction a sample, in order.

    Args:
        head: name of the head.
        values: slot -> a value for each sample; None = the sample lacks the slot.
        **options: of the head's ``predict``.

    Raises:
        InputError: lists of different lengths, a sample without any slot, or a value that cannot be read.
    """
    module = predictor.model.heads[head]
    assert isinstance(module, Head)
    lengths = {slot: len(items) for slot, items in values.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{slot} {count}" for slot, count in lengths.items())
        raise InputError(f"One value a slot is needed for each sample, but the lists differ in length: {told}.")
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    found: list[Prediction] = []
    with show_progress(head, len(rows), progress) as advance:
        batches = prepare_batches(
            predictor.processor, rows, batch_size=batch_size, device=predictor.device, num_workers=num_workers
        )
        for batch in batches:
            made = module.predict(core_states(predictor, batch, fused=module.fused), **options)
            found += [_readable(predictor, module, item) for item in made]
            advance(len(made))
    return found


def core_states(predictor: OmniPredictor, batch: Prepared, *, fused: bool = True) -> CoreOutput:
    """The core over what a batch holds: in one sequence, or each slot alone and their states beside one another."""
    from omni.core.model import join_outputs

    model = predictor.model
    inputs = batch.cast(predictor.device, predictor.dtype)
    present = {slot: batch.present[slot].to(predictor.device) for slot in inputs}
    if fused:
        return model.fuse(inputs, present=present)
    joined = join_outputs({slot: (model.encode_slot(slot, item), present[slot]) for slot, item in inputs.items()})
    assert joined is not None, "prepare_batches refuses samples without any slot"
    return joined


def _readable(predictor: OmniPredictor, head: Head, found: Prediction) -> Prediction:
    if head.vocabulary is None:
        return found
    predictor.processor.require(head.vocabulary, what="This model")
    transform = predictor.processor.transforms[head.vocabulary]
    decode = getattr(transform, "decode", None)
    if decode is None:
        raise OmniError(
            f"The transform {type(transform).__name__} of slot {head.vocabulary!r} cannot turn ids into values: it "
            "has no `decode`. Use one that has, such as text's own."
        )
    others = found.details.get("others", [])
    details = (
        {**found.details, "others": [replace(item, value=decode(item.value)) for item in others]} if others else None
    )
    return replace(found, value=decode(found.value), details=found.details if details is None else details)


class TaskMethods:
    """What a model with task heads can be asked; every method takes lists, one value a slot for each sample (or one
    value, which is a batch of one), and gives a Prediction for each sample."""

    def predict(
        self,
        task: str,
        *,
        head: str | None = None,
        batch_size: int = 32,
        progress: Progress = None,
        options: Mapping[str, Any] | None = None,
        **slots: Any,
    ) -> list[Prediction]:
        """Any task by its name.

        Args:
            task: "captioning", "classification", ... as ``omni plugins show`` tells of the head.
            head: its name, where several heads do the task.
            batch_size: samples at a time.
            progress: None = a bar on a terminal; True, False, or ``function(done, total)``.
            options: of the head's own ``predict``.
            **slots: slot -> values; None in a list = the sample lacks the slot.

        Raises:
            OmniError: the model has no such head.
            InputError: an unknown slot, lists of different lengths, or a value that cannot be read.
        """
        assert isinstance(self, _predictor_class())
        name = find_head(self.model, task, head)
        values = self._values(slots)
        return predict(self, name, values, batch_size=batch_size, progress=progress, **dict(options or {}))

    def classify(
        self, *, k: int = 5, threshold: float = 0.5, head: str | None = None, batch_size: int = 32, **slots: Any
    ) -> list[Prediction]:
        """The class of each sample, or its labels; ``k`` likeliest in ``details["scores"]``. See ``predict``."""
        options = {"k": k, "threshold": threshold}
        return self.predict("classification", head=head, batch_size=batch_size, options=options, **slots)

    def caption(
        self, *, num_beams: int = 3, max_new_tokens: int | None = None, head: str | None = None, batch_size: int = 32,
        options: Mapping[str, Any] | None = None, **slots: Any,
    ) -> list[Prediction]:  # fmt: skip
        """A text about each sample. ``options`` are of the generation (do_sample, top_p, length_penalty, seed ...)."""
        given = {"num_beams": num_beams, "max_new_tokens": max_new_tokens, **dict(options or {})}
        return self.predict("captioning", head=head, batch_size=batch_size, options=given, **slots)

    def reconstruct(
        self, *, head: str | None = None, batch_size: int = 8, options: Mapping[str, Any] | None = None, **slots: Any
    ) -> list[Prediction]:
        """A shape of each sample, as the head's plugin gives it. See ``predict``."""
        return self.predict("reconstruction", head=head, batch_size=batch_size, options=options, **slots)

    def answer(
        self, question: str | Sequence[str], *, choices: Sequence[str] | None = None, head: str | None = None,
        batch_size: int = 32, progress: Progress = None, options: Mapping[str, Any] | None = None, **slots: Any,
    ) -> list[Prediction]:  # fmt: skip
        """Answers to questions about samples; value None where the model is not sure enough.

        Args:
            question: one for all samples, or one for each.
            choices: the only answers that are possible; None = any that the head can give.
            options: of the head (``abstain=False``: always answer; of the generation where answers are free).
            head, batch_size, progress, **slots: see ``predict``.

        Raises:
            OmniError: no head answers questions, or its slot for questions is given twice.
        """
        assert isinstance(self, _predictor_class())
        name = find_head(self.model, "answering", head)
        slot = getattr(self.model.heads[name], "question", "question")
        if slot in slots:
            raise InputError(f"The question goes into the slot {slot!r}; it was given a second time as {slot}=...")
        values = self._values(slots) if slots else {}
        count = max((len(items) for items in values.values()), default=1)
        questions = [question] * count if isinstance(question, str) else list(question)
        chosen = dict(options or {}) if choices is None else {"choices": list(choices), **dict(options or {})}
        self.processor.require(slot, what="This model")
        return predict(self, name, {**values, slot: questions}, batch_size=batch_size, progress=progress, **chosen)


def _predictor_class() -> type[OmniPredictor]:
    from omni.inference import OmniPredictor

    return OmniPredictor
