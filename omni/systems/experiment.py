"""What an experiment of a published system is: a claim, a run a seed, a rule fixed beforehand, a verdict."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

Log = Callable[[str], None]


class Verdict(StrEnum):
    """Whether the claim held here. UNSTABLE: some seeds say yes and some say no."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNSTABLE = "unstable"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison of the rule, on one seed.

    Attributes:
        name: what is compared, with the bound in words ("Symile, d=5, p=1: within 0.02 of the optimum").
        value, bound: the measured number and the number it is held against.
        holds: whether the comparison came out as the claim says.
    """

    name: str
    value: float
    bound: float
    holds: bool


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """What one seed measured: name -> number, the findings, and the seconds it took."""

    seed: int
    measured: Mapping[str, float]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """True when every finding of this seed holds."""
        return bool(self.findings) and all(finding.holds for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        findings = [vars(finding) for finding in self.findings]
        return {"seed": self.seed, "measured": dict(self.measured), "findings": findings, "seconds": self.seconds}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SeedRun:
        """From the JSON form."""
        findings = tuple(Finding(**finding) for finding in value["findings"])
        return cls(seed=value["seed"], measured=value["measured"], findings=findings, seconds=value["seconds"])


@dataclass(frozen=True, kw_only=True)
class ExperimentResult:
    """All seeds of one experiment."""

    slug: str
    full: bool
    runs: tuple[SeedRun, ...]
    reused: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        """HOLDS when every seed holds, FAILS when none does, else UNSTABLE."""
        outcomes = {run.holds for run in self.runs}
        if outcomes == {True}:
            return Verdict.HOLDS
        return Verdict.FAILS if outcomes == {False} else Verdict.UNSTABLE

    def summary(self) -> dict[str, tuple[float, float]]:
        """name -> (mean, standard deviation over seeds; 0 for one seed)."""
        table = {}
        for name in self.runs[0].measured if self.runs else ():
            values = [run.measured[name] for run in self.runs]
            table[name] = (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
        return table

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "slug": self.slug,
            "full": self.full,
            "verdict": str(self.verdict),
            "seeds": [run.seed for run in self.runs],
            "summary": {name: {"mean": mean, "sd": sd} for name, (mean, sd) in self.summary().items()},
            "runs": [run.to_dict() for run in self.runs],
            "notes": list(self.notes),
        }


class Experiment(ABC):
    """Subclass it, name the class in SystemSpec.experiment. It must run on a CPU, all seeds and baselines together, in
    under three minutes (``full`` may take longer)."""

    claim: ClassVar[str]
    rule: ClassVar[str]
    default_seeds: ClassVar[tuple[int, ...]] = (0, 1, 2)
    depends_on: ClassVar[tuple[str, ...]] = ()  # modules, packages whose source besides this one's decides the result

    @abstractmethod
    def config(self, *, full: bool) -> dict[str, Any]:
        """Everything that decides the result besides code and seed, as JSON values; part of the result's key."""

    @abstractmethod
    def measure(self, seed: int, config: Mapping[str, Any], log: Log) -> dict[str, float]:
        """Train and evaluate with one seed: name -> number, baselines included."""

    @abstractmethod
    def judge(self, measured: Mapping[str, float], config: Mapping[str, Any]) -> Sequence[Finding]:
        """Apply the rule to one seed's numbers."""
