"""Where a run's numbers go: one JSON line a record, and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omni.errors import MissingDependencyError

RECORDS = "scalars.jsonl"


class ScalarWriter:
    """Appends to ``work_dir/scalars.jsonl``; on resuming, what the run had written beyond its checkpoint is dropped.

    Args:
        work_dir: of the whole run, all stages.
        stage: of the records.
        offset: steps of the stages before, for TensorBoard's axis.
        tensorboard: also write ``work_dir/tensorboard``.
        enabled: False on processes other than the first.

    Raises:
        MissingDependencyError: TensorBoard is asked for and not installed.
    """

    def __init__(
        self, work_dir: Path, *, stage: str, offset: int = 0, tensorboard: bool = False, enabled: bool = True
    ) -> None:
        self.path = work_dir / RECORDS
        self.stage, self.offset, self.enabled = stage, offset, enabled
        self._backend: Any = None
        if tensorboard and enabled:
            if find_spec("tensorboard") is None:
                raise MissingDependencyError(
                    "tensorboard=True needs TensorBoard: pip install 'omni-core[tensorboard]', or set it to False."
                )
            from mmengine.visualization import TensorboardVisBackend

            self._backend = TensorboardVisBackend(save_dir=str(work_dir / "tensorboard"))

    def add(self, kind: str, numbers: Mapping[str, float], *, step: int) -> None:
        """One record. kind is "train" or "val"."""
        if not self.enabled:
            return
        record = {"stage": self.stage, "kind": kind, "step": step, **{key: float(v) for key, v in numbers.items()}}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._backend is not None:
            for key, value in numbers.items():
                self._backend.add_scalar(f"{kind}/{key}", float(value), step=step + self.offset)

    def rewind(self, step: int) -> None:
        """Drop this stage's records beyond ``step``, and all of stages that come later in the file."""
        if not self.enabled or not self.path.is_file():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # a line that was being written when the run was killed
                continue
            if record["stage"] == self.stage and record["step"] > step:
                break
            kept.append(line)
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def close(self) -> None:
        """Flush TensorBoard."""
        if self._backend is not None:
            self._backend.close()
