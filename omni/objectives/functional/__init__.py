"""The losses and scores of omni as pure functions: tensors in, tensor out, no state.

Conventions: ``logit_scale`` is the positive multiplier, already exponentiated; no function normalises its inputs;
randomness comes in as a CPU ``generator`` or as explicit permutations; present False takes a sample out of the anchors
and out of the candidates; too few present gives a zero that still has a graph. Softmax statistics are in float32 or
better whatever the dtype of the inputs, under autocast too.
"""

from omni.objectives.functional._numerics import anchor_count
from omni.objectives.functional.contrastive import info_nce, pair_sum, score_nce
from omni.objectives.functional.denoising import denoising_contrast
from omni.objectives.functional.grouping import (
    coarse_grouping_alignment,
    grouping_alignment,
    grouping_present,
    grouping_scores,
)
from omni.objectives.functional.multilinear import (
    joint_pair_sum,
    multilinear_inner_product,
    multilinear_scores,
    symile,
    tuple_permutations,
)

__all__ = [
    "anchor_count",
    "coarse_grouping_alignment",
    "denoising_contrast",
    "grouping_alignment",
    "grouping_present",
    "grouping_scores",
    "info_nce",
    "joint_pair_sum",
    "multilinear_inner_product",
    "multilinear_scores",
    "pair_sum",
    "score_nce",
    "symile",
    "tuple_permutations",
]
