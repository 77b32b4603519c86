"""Published systems as this project realises them: experiments, their results, their verdicts. Imports no torch."""

from omni.systems.experiment import Experiment, ExperimentResult, Finding, SeedRun, Verdict

__all__ = ["Experiment", "ExperimentResult", "Finding", "SeedRun", "Verdict"]
