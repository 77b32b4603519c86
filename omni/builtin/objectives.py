"""The core's objectives as a plugin."""

from __future__ import annotations

from omni import hookimpl
from omni.plugin.specs import ObjectiveSpec, PluginInfo

_ALIGNMENT = "omni.objectives.contrastive"


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this is."""
    return PluginInfo(name="objectives", summary="Alignment and masked prediction objectives of the core")


@hookimpl
def omni_objectives() -> list[ObjectiveSpec]:
    """The objectives."""
    return [
        ObjectiveSpec(name="info_nce", target=f"{_ALIGNMENT}:InfoNCE", summary="InfoNCE, mean over pairs of slots"),
        ObjectiveSpec(name="pair_sum", target=f"{_ALIGNMENT}:PairSum", summary="InfoNCE summed over pairs of slots"),
        ObjectiveSpec(
            name="joint_pair_sum",
            target=f"{_ALIGNMENT}:JointPairSum",
            summary="Tuples told apart by the sum of their pairs' scores, trained jointly",
        ),
        ObjectiveSpec(name="symile", target=f"{_ALIGNMENT}:Symile", summary="Tuples, by the multilinear score"),
        ObjectiveSpec(
            name="label_prediction",
            target="omni.objectives.prediction:LabelPrediction",
            summary="A label predicted from one slot's pooled state",
            consumes=("pooled", "labels"),
        ),
        ObjectiveSpec(
            name="grouping_alignment",
            target="omni.objectives.grouping:GroupingAlignment",
            summary="One slot's tokens against groups of other slots' tokens",
            consumes=("tokens",),
        ),
        ObjectiveSpec(
            name="task",
            target="omni.objectives.task:Task",
            summary="The loss of one of the model's heads, from whichever of its slots are there",
            consumes=("head", "targets"),
            supports_grad_cache=False,
        ),
        ObjectiveSpec(
            name="denoising",
            target="omni.objectives.denoising:Denoising",
            summary="Masked tokens found among the states of the unmasked input (ONE-PEACE)",
            consumes=("decoder", "teacher"),
            supports_grad_cache=False,
        ),
    ]
