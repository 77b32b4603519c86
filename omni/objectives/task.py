"""Training a task head: the core over the input slots, the head over the core's states, the head's own loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omni.core.positions import at_least_float32
from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.heads.base import Head
from omni.objectives.base import Leaf, Objective
from omni.objectives.gather import mean_over_processes
from omni.types import CoreOutput, HeadOutput, ObjectiveOutput


class Task(Objective):
    """The loss of one of the model's heads.

    A sample takes part if it has at least one of the input slots and all of the targets; slots that it lacks are
    padding. With ``groups`` the head is trained on each group of slots by itself, and a sample takes part in the
    groups of which it has every slot (VALOR's grouped captioning); the total is the weighted mean of the groups'.

    Args:
        slots: inputs.
        head: name of the head in the model's ``heads``.
        targets: the slot whose collated inputs are the targets (text out), or the names of sample targets; their
            masks (``valid_NAME``) come along.
        groups: lists of input slots; () = one group of all, of which a sample may lack some.
        group_weights: of the groups, in order; () = equal.
        weight: of the total.

    Raises:
        ConfigError: no such head or slot in the model, or groups that are no part of ``slots``.
    """

    def __init__(
        self,
        *,
        slots: Sequence[str],
        head: str,
        targets: str | Sequence[str] = (),
        groups: Sequence[Sequence[str]] = (),
        group_weights: Sequence[float] = (),
        weight: float = 1.0,
    ) -> None:
        super().__init__(slots=slots, weight=weight)
        self.head = head
        self.target_slot = targets if isinstance(targets, str) else None
        self.target_names = () if isinstance(targets, str) else tuple(targets)
        self.every = bool(groups)
        self.groups = tuple(tuple(group) for group in groups) or (self.slots,)
        self.group_weights = tuple(group_weights) or (1.0,) * len(self.groups)
        strangers = [slot for group in self.groups for slot in group if slot not in self.slots]
        if not self.slots or strangers or not all(self.groups):
            raise ConfigError(f"task: groups {list(map(list, self.groups))} must be parts of slots {list(self.slots)}.")
        if len(self.group_weights) != len(self.groups) or not sum(self.group_weights) > 0:
            raise ConfigError(f"task: {len(self.groups)} groups need as many group_weights, and a sum above 0.")
        self._owner: tuple[nn.Module, ...] = ()  # in a tuple: the head stays a part of the model alone

    def bind(self, model: nn.Module) -> None:
        """Find the head."""
        heads = model.heads
        if self.head not in heads:
            has = ", ".join(heads) or "none"
            raise ConfigError(
                f"task: the model has no head {self.head!r} (it has {has}). Add it to the model's `heads`."
            )
        if self.target_slot is not None and self.target_slot not in model.slots:
            raise ConfigError(f"task: the model has no slot {self.target_slot!r}; it has {', '.join(model.slots)}.")
        if self.target_slot in self.slots:
            raise ConfigError(
                f"task: slot {self.target_slot!r} is both an input and the target; the head would copy it."
            )
        self._owner = (heads[self.head],)

    def reads(self) -> tuple[Leaf, ...]:
        """The head; nothing of it can be detached and replayed."""
        return (Leaf(kind="head", slots=self.slots),)

    def forward(self, fp: ForwardPass) -> ObjectiveOutput:
        """Weighted mean over the groups; a mean over all processes in each."""
        module, total, parts, counts = self._module(), fp.logit_scale() * 0, {}, {}
        for group, weight in zip(self.groups, self.group_weights, strict=True):
            found = self._of_group(fp, group)
            loss = None if found is None else found.loss
            here = [] if found is None else [found.parts.get(name) for name in module.part_names]
            values = at_least_float32(total.new_zeros(1 + len(module.part_names)))
            if found is not None and loss is not None:
                known = [loss, *(loss.new_zeros(()) if item is None else item for item in here)]
                values = torch.stack([item.to(values.dtype) for item in known])
            means, count = mean_over_processes(values, 0 if found is None or loss is None else found.number)
            total = total + means[0] * (weight / sum(self.group_weights))
            name = "+".join(group)
            counts[name if len(self.groups) > 1 else "things"] = count
            if count:
                prefix = f"{name}/" if len(self.groups) > 1 else ""
                numbers = dict(zip(module.part_names, means[1:].detach(), strict=True))
                parts.update({prefix + part: number for part, number in numbers.items()})
        return ObjectiveOutput(total=total + _nothing(module), parts=parts, counts=counts)

    def evaluate(self, fp: ForwardPass) -> dict[str, HeadOutput]:
        """What the head says of this process's samples, with the loss: group -> output, "" where there is one group.
        Makes no collective, so processes may hold different numbers of batches."""
        found = {"+".join(group): self._of_group(fp, group) for group in self.groups}
        kept = {name: output for name, output in found.items() if output is not None}
        return kept if len(self.groups) > 1 else dict(zip([""], kept.values(), strict=False))

    def _module(self) -> Head:
        assert self._owner, "bind() comes first"
        (head,) = self._owner
        assert isinstance(head, Head)
        return head

    def _of_group(self, fp: ForwardPass, group: tuple[str, ...]) -> HeadOutput | None:
        fused = self._module().fused
        inputs_B = fp.complete(group) if self.every and fused else fp.any_present(group)
        if not fused:
            output = fp.beside(*group)
        else:
            output = fp.fused(*group) if self.every else fp.partly(*group)
        if output is None:
            return None
        wanted_B = self._known(fp) & (fp.complete(group) if self.every else inputs_B)
        if not bool(wanted_B.any()):
            return None
        chosen = output if bool((wanted_B == inputs_B).all()) else take_output(output, wanted_B[inputs_B])
        return self._module()(chosen, self._targets(fp, wanted_B))

    def _known(self, fp: ForwardPass) -> Tensor:
        """(B,) bool: which samples have the targets."""
        if self.target_slot is not None:
            return fp.present(self.target_slot)
        known_B = fp.any_present(self.slots) | True
        for name in self.target_names:
            value = self._target(fp, name)
            if f"present_{name}" in fp.batch.targets:
                known_B = known_B & fp.batch.targets[f"present_{name}"]
            elif value.ndim == 1:
                known_B = known_B & (value.isfinite() if value.is_floating_point() else value != -100)
        return known_B

    def _target(self, fp: ForwardPass, name: str) -> Tensor:
        if name not in fp.batch.targets:
            has = ", ".join(fp.batch.targets) or "none"
            raise ConfigError(
                f"task: the batch has no target {name!r} (it has {has}). Name it in the data set's targets."
            )
        return fp.batch.targets[name]

    def _targets(self, fp: ForwardPass, wanted_B: Tensor) -> dict[str, Tensor]:
        if self.target_slot is not None:
            rows_S = wanted_B[fp.present(self.target_slot)]
            return {name: value[rows_S] for name, value in fp.batch.inputs[self.target_slot].items()}
        found = {name: self._target(fp, name)[wanted_B] for name in self.target_names}
        masks = [f"valid_{name}" for name in self.target_names if f"valid_{name}" in fp.batch.targets]
        return found | {name: fp.batch.targets[name][wanted_B] for name in masks}


def take_output(output: CoreOutput, rows: Tensor) -> CoreOutput:
    """Some samples of a core output, by index or mask."""
    return CoreOutput(
        hidden_BLD=output.hidden_BLD[rows],
        valid_BL=output.valid_BL[rows],
        spans=output.spans,
        pooled={slot: value[rows] for slot, value in output.pooled.items()},
        layers=tuple(layer[rows] for layer in output.layers),
    )


def _nothing(module: nn.Module) -> Tensor | float:
    """A zero with a graph over the head, for batches of which nothing is to be learnt."""
    return sum((p.sum() * 0 for p in module.parameters() if p.requires_grad), start=0.0)
