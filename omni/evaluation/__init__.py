"""Evaluating a model on a data set: retrieval, zero-shot classification, probes, geometry, and a report of it all."""

from __future__ import annotations

from omni.evaluation.encoded import EncodedSamples, encode_samples
from omni.evaluation.geometry import Geometry, measure_geometry
from omni.evaluation.probes import probe
from omni.evaluation.report import Report
from omni.evaluation.retrieval import Evaluation, RetrievalSettings, evaluate, evaluate_directions, measure_direction
from omni.evaluation.suite import Plan, ZeroShotSettings, run_plan
from omni.evaluation.zero_shot import Classification, class_embeddings, zero_shot
from omni.metrics.bootstrap import Bootstrap

__all__ = [
    "Bootstrap",
    "Classification",
    "EncodedSamples",
    "Evaluation",
    "Geometry",
    "Plan",
    "Report",
    "RetrievalSettings",
    "ZeroShotSettings",
    "class_embeddings",
    "encode_samples",
    "evaluate",
    "evaluate_directions",
    "measure_direction",
    "measure_geometry",
    "probe",
    "run_plan",
    "zero_shot",
]
