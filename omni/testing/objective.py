"""Contract checks of an objective and of a task head, on a tiny model over an installed modality."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from omni.errors import ConfigError
from omni.plugin.catalog import get_catalog
from omni.plugin.specs import HeadSpec, ModalitySpec, ObjectiveSpec
from omni.plugin.status import BUILTIN_DISTRIBUTION
from omni.testing.modality import SLOT, make_case
from omni.testing.skipped import CheckSkipped

if TYPE_CHECKING:
    import torch

    from omni.core.model import OmniModel
    from omni.objectives.base import Objective
    from omni.types import Batch, CoreOutput, ObjectiveOutput

SLOTS = ("first", "second", "third")


def _skip_if_needed(component: Any, *, given: str) -> None:
    """Settings without a default are ones that the tests cannot know."""
    parameters = inspect.signature(component).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.KEYWORD_ONLY and p.name != given]
    if needed:
        raise CheckSkipped(f"it needs the settings {', '.join(needed)}")


def _some_modality() -> ModalitySpec:
    """A built-in one, so that no other plugin's fault shows here."""
    entries = get_catalog().entries("modality")
    return min(entries, key=lambda entry: entry.distribution != BUILTIN_DISTRIBUTION).spec


def _slots_model() -> tuple[OmniModel, list[dict[str, torch.Tensor]]]:
    """A model of three slots of one modality, and a batch of three samples a slot, in another order in each."""
    from omni.core.model import ModelConfig, OmniModel

    spec = _some_modality()
    case = make_case(spec)
    config = case.model.config.to_dict()
    config["slots"] = dict.fromkeys(SLOTS, spec.name)
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = OmniModel(ModelConfig.from_dict(config))
    return model, [case.batch(*order) for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1))]


def _build(spec: ObjectiveSpec, model: OmniModel) -> Objective:
    """The objective over as many of the slots as it takes; CheckSkipped if it needs settings or another model."""
    component = get_catalog().component("objective", spec.name)
    _skip_if_needed(component, given="slots")
    reason = ""
    for count in (3, 2, 1):
        try:
            objective = component(slots=list(SLOTS[:count]))
            objective.bind(model)
        except ConfigError as error:
            reason = str(error)
            continue
        return objective
    raise CheckSkipped(reason)


def _batch(inputs: list[dict[str, torch.Tensor]], *, absent: tuple[str, ...] = ()) -> Batch:
    import torch

    from omni.types import Batch

    return Batch(
        inputs={slot: value for slot, value in zip(SLOTS, inputs, strict=True) if slot not in absent},
        present={slot: torch.full((3,), slot not in absent) for slot in SLOTS},
        ids=["a", "b", "c"],
        targets={},
    )


def _loss(objective: Objective, model: OmniModel, batch: Batch) -> ObjectiveOutput:
    import torch

    from omni.engine.forward_pass import ForwardPass
    from omni.types import ObjectiveOutput

    output = objective(ForwardPass(model, batch, generator=torch.Generator().manual_seed(0)))
    assert isinstance(output, ObjectiveOutput), f"forward gave {type(output).__name__}, not an ObjectiveOutput"
    assert output.total.dim() == 0, f"total has the shape {tuple(output.total.shape)}; it must be a scalar"
    assert bool(torch.isfinite(output.total)), f"total is {output.total.item()}"
    assert output.total.requires_grad, "total has no graph"
    attached = [name for name, value in output.parts.items() if getattr(value, "requires_grad", False)]
    assert not attached, f"the parts {', '.join(attached)} are not detached"
    return output


def trains_on_a_full_batch(spec: ObjectiveSpec) -> None:
    """A finite scalar whose gradient reaches the model."""
    model, inputs = _slots_model()
    objective = _build(spec, model)
    _loss(objective, model, _batch(inputs)).total.backward()
    reached = sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)
    assert reached > 0, "no gradient reaches the model"


def bears_absent_slots(spec: ObjectiveSpec) -> None:
    """With slots, or all of them, absent from the batch the total is still finite and has a graph."""
    model, inputs = _slots_model()
    objective = _build(spec, model)
    for absent in (SLOTS[1:2], SLOTS[2:], SLOTS):
        _loss(objective, model, _batch(inputs, absent=absent)).total.backward()


def says_what_it_reads(spec: ObjectiveSpec) -> None:
    """``reads`` are Leaves and ``trained_groups`` TrainedGroups, of its own slots."""
    from omni.objectives.base import Leaf
    from omni.types import TrainedGroup

    model, _ = _slots_model()
    objective = _build(spec, model)
    for kind, values in ((Leaf, objective.reads()), (TrainedGroup, objective.trained_groups())):
        for value in values:
            assert isinstance(value, kind), f"{value!r} is not a {kind.__name__}"
            assert set(value.slots) <= set(objective.slots), f"{value!r} names slots that are not its own"


def head_reads_the_core(spec: HeadSpec) -> None:
    """Built with the width alone, it gives a HeadOutput and one Prediction a sample."""
    import torch

    from omni.types import HeadOutput, Prediction

    component = get_catalog().component("head", spec.name)
    _skip_if_needed(component, given="width")
    case = make_case(_some_modality())
    with torch.no_grad():
        core: CoreOutput = case.model.encode_slot(SLOT, case.batch(0, 1, 2))
        head = component(width=case.model.width).eval()
        output, predictions = head(core), head.predict(core)
    assert isinstance(output, HeadOutput), f"forward gave {type(output).__name__}, not a HeadOutput"
    assert len(predictions) == 3, f"{len(predictions)} predictions for 3 samples"
    assert all(isinstance(item, Prediction) for item in predictions), "predict must give Predictions"


OBJECTIVE_CHECKS = (trains_on_a_full_batch, bears_absent_slots, says_what_it_reads)
HEAD_CHECKS = (head_reads_the_core,)
