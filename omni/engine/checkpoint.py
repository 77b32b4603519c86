"""Training checkpoints: tensors and plain Python values only, written atomically, checked when they are read.

They load with ``torch.load(weights_only=True)``; nothing is ever unpickled beyond what that allows. The zip archive's
own CRC-32 of every member tells a damaged file from a good one.
"""

from __future__ import annotations

import os
import re
import uuid
import zipfile
from collections.abc import Mapping
from logging import Logger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

from omni.errors import WeightsError

FORMAT = 1
_NAME = re.compile(r"^step_(\d+)\.pth$")
_HISTORY = 1000  # entries of each logged number that a checkpoint keeps: enough for any smoothing window


def plain(value: Any) -> Any:
    """The value made of tensors (on CPU), numbers, strings, lists and dicts only; anything else is left out (None)."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True).contiguous()
    if isinstance(value, np.generic):  # before float: numpy's float64 is one, and does not load without unpickling
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value)).clone()
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` so that ``path`` is either the old file or the whole new one, even if the machine stops.

    Raises:
        WeightsError: the disk refuses (full, read-only); the message names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save({"omni_format": FORMAT, **plain(content)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise WeightsError(
            f"Could not write checkpoint {path}: {error}. Free some space or choose another --work-dir."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        WeightsError: missing, damaged (bad CRC, cut short), or not one of ours.
    """
    if not path.is_file():
        raise WeightsError(f"There is no checkpoint {path}. Name an existing file, or start without --resume.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise WeightsError(f"Checkpoint {path} is damaged (CRC of {damaged}). Use an earlier one.")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # a cut or foreign file fails in many ways (zipfile, zlib, pickle, OSError)
        raise WeightsError(f"Checkpoint {path} cannot be read ({error}). Use an earlier one.") from error
    if not isinstance(content, dict) or content.get("omni_format") != FORMAT:
        raise WeightsError(f"{path} is not a training checkpoint of this version of omni. Load models with omni.load.")
    return content


def steps(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of the regular checkpoints in ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.match(path.name))]
    return sorted(found)


def step_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step_{step:08d}.pth"


def load_latest(folder: Path, logger: Logger | None = None) -> tuple[Path, dict[str, Any]] | None:
    """The newest readable checkpoint of ``folder``; damaged ones are skipped with a warning. None if there is none.

    Raises:
        WeightsError: there are checkpoints, and none can be read.
    """
    found = steps(folder)
    for _, path in reversed(found):
        try:
            return path, load(path)
        except WeightsError as error:
            if logger is not None:
                logger.warning("%s Falling back to the checkpoint before it.", error)
    if found:
        raise WeightsError(f"None of the {len(found)} checkpoints in {folder} can be read. Start anew elsewhere.")
    return None


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` regular checkpoints, and what interrupted writes left behind."""
    for _, path in steps(folder)[:-keep] if keep > 0 else []:
        path.unlink(missing_ok=True)
    for path in folder.glob(".*.pth.*.tmp"):
        path.unlink(missing_ok=True)


def message_hub_state(hub: MessageHub) -> dict[str, Any]:
    """The log's numbers as tensors, and the runtime information that is plain."""
    scalars = {}
    for key, buffer in hub.log_scalars.items():
        log, count = buffer.data
        scalars[key] = {
            "log": torch.as_tensor(np.asarray(log[-_HISTORY:], dtype=np.float64)),
            "count": torch.as_tensor(np.asarray(count[-_HISTORY:], dtype=np.int64)),
        }
    info = {key: plain(value) for key, value in hub.runtime_info.items() if key not in ("cfg", "dataset_meta")}
    return {"scalars": scalars, "info": info}


def load_message_hub(hub: MessageHub, state: Mapping[str, Any]) -> None:
    """Put back what message_hub_state gave."""
    for key, value in state["scalars"].items():
        hub.log_scalars[key] = HistoryBuffer(value["log"].numpy(), value["count"].numpy())
        hub._resumed_keys[key] = True
    for key, value in state["info"].items():
        if value is not None:
            hub.update_info(key, value)
