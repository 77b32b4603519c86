"""Contract checks of objectives and heads: sound ones pass, each fault is found."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch

from omni.heads.base import Head
from omni.objectives.base import Leaf, Objective
from omni.plugin import HeadSpec, ObjectiveSpec
from omni.plugin.catalog import get_catalog, register
from omni.testing import check_status
from omni.types import HeadOutput, ObjectiveOutput, Prediction
from tests.plugin.test_manager import make_plugin


class Spread(Objective):
    """Sum of the embeddings' squares; ``fault`` breaks one promise."""

    fault = ""

    def forward(self, fp: Any) -> Any:
        values = torch.stack([fp.embedding(slot).values_BE for slot in self.slots])
        total = values.square().mean() if fp.batch.inputs else 0 * values.sum() + 0 * fp.logit_scale()
        if self.fault == "vector":
            total = values.square().mean(-1)
        if self.fault == "no graph":
            total = total.detach()
        if self.fault == "not finite" and len(fp.batch.inputs) < 3:
            total = total / 0
        if self.fault == "tuple":
            return total, {}
        return ObjectiveOutput(total=total, parts={"loss": total if self.fault == "attached" else total.detach()})

    def reads(self) -> tuple[Leaf, ...]:
        slots = ("somewhere",) if self.fault == "other slots" else self.slots
        return tuple(Leaf(kind="embedding", slots=(slot,)) for slot in slots)


class Norm(Head):
    """The norm of the summary state; ``fault`` breaks one promise."""

    fault = ""

    def forward(self, core_output: Any, targets: Any = None) -> Any:
        values = {"norm": next(iter(core_output.pooled.values())).norm(dim=1)}
        return values if self.fault == "dictionary" else HeadOutput(values=values)

    def predict(self, core_output: Any, **options: Any) -> list[Prediction]:
        norms = next(iter(core_output.pooled.values())).norm(dim=1).tolist()
        return [Prediction(value=norm) for norm in norms][: 1 if self.fault == "one only" else None]


def failures(monkeypatch: pytest.MonkeyPatch, base: type, fault: str) -> list[str]:
    """Names of the checks that the class with the fault does not pass."""
    module = types.ModuleType("things_to_check")
    module.Thing = type("Thing", (base,), {"fault": fault})
    monkeypatch.setitem(sys.modules, "things_to_check", module)
    if base is Spread:
        hooks = {"omni_objectives": [ObjectiveSpec(name="thing", target="things_to_check:Thing")]}
    else:
        hooks = {"omni_heads": [HeadSpec(name="thing", target="things_to_check:Thing", task="test")]}
    report = check_status(register(make_plugin("things", **hooks), "things"))
    return [name.rpartition(":")[2] for name, message in report.results.items() if message]


@pytest.mark.parametrize(
    ("base", "fault", "found"),
    [
        (Spread, "", None),
        (Spread, "vector", "trains_on_a_full_batch"),
        (Spread, "no graph", "trains_on_a_full_batch"),
        (Spread, "not finite", "bears_absent_slots"),
        (Spread, "tuple", "trains_on_a_full_batch"),
        (Spread, "attached", "trains_on_a_full_batch"),
        (Spread, "other slots", "says_what_it_reads"),
        (Norm, "", None),
        (Norm, "dictionary", "head_reads_the_core"),
        (Norm, "one only", "head_reads_the_core"),
    ],
)
def test_faults_are_found(monkeypatch: pytest.MonkeyPatch, base: type, fault: str, found: str | None) -> None:
    failed = failures(monkeypatch, base, fault)
    assert (found in failed) if found else not failed, failed


def test_the_objectives_of_omni_keep_the_contract() -> None:
    status = next(item for item in get_catalog().plugins if item.name == "objectives")
    report = check_status(status)
    assert report.passed, report.to_text()


def test_the_fixture_gives_a_fresh_catalog(omni_catalog: Any) -> None:
    assert omni_catalog is get_catalog() and "text" in omni_catalog.names("modality")
