"""Cached features: towers that do not train are run once over the distinct items of their slot."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from omni.core.model import OmniModel
from omni.data.processor import Processor
from omni.engine.items import FeatureTable
from omni.engine.progress import track
from omni.engine.tables import distinct
from omni.errors import ConfigError
from omni.types import Sample


def build_feature_table(
    model: OmniModel,
    samples: Sequence[Sample],
    processor: Processor,
    slot: str,
    *,
    batch_size: int = 64,
    autocast: torch.dtype | None = None,
    quiet: bool = False,
    folder: str | Path | None = None,
) -> FeatureTable:
    """Pooled states of a slot's distinct items, without augmentation, the model in evaluation mode.

    Args:
        model: whose tower of this slot must be frozen.
        samples: all samples of the data set.
        processor: of the model.
        slot: which.
        batch_size: items at a time.
        autocast: dtype of the towers' matrix products; None = as they are.
        quiet: no progress bar.
        folder: where features are kept for later runs, by frozen weights, transform and content keys; None = nowhere.

    Raises:
        ConfigError: the tower still trains; names the parameters that would have to be frozen.
    """
    first = distinct(samples, slot)
    indices = list(first.values())
    chunks = [indices[at : at + batch_size] for at in range(0, len(indices), batch_size)]
    training = model.training
    model.eval()
    try:
        if chunks:
            _require_frozen(model, slot, _inputs(samples, processor, slot, chunks[0][:1], model.device))
        path = _path(folder, model, processor, slot, list(first), autocast)
        kept = _read(path)
        if kept is not None:
            return FeatureTable({key: row for row, key in enumerate(first)}, kept)
        with torch.no_grad(), torch.autocast(model.device.type, dtype=autocast, enabled=autocast is not None):
            pieces = [
                model.encode_slot(slot, _inputs(samples, processor, slot, chunk, model.device)).pooled[slot].cpu()
                for chunk in track(chunks, f"features of {slot}", quiet=quiet)
            ]
    finally:
        model.train(training)
    pooled_KD = torch.cat(pieces).float() if pieces else torch.zeros(0, model.width)
    _write(path, pooled_KD)
    return FeatureTable({key: row for row, key in enumerate(first)}, pooled_KD)


def _path(
    folder: str | Path | None,
    model: OmniModel,
    processor: Processor,
    slot: str,
    keys: Sequence[str],
    autocast: torch.dtype | None,
) -> Path | None:
    """The file of these features: named by everything that decides them."""
    if folder is None:
        return None
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if not parameter.requires_grad:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    modality, transform = processor.modalities[slot], processor.transforms[slot]
    settings = [slot, modality, type(transform).__name__, transform.to_config(), list(keys), str(autocast)]
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(json.dumps(model.config.to_dict(), sort_keys=True).encode())
    return Path(folder) / f"{slot}-{digest.hexdigest()[:24]}.safetensors"


def _read(path: Path | None) -> Tensor | None:
    """Kept features, or None; a damaged file is made again."""
    if path is None or not path.is_file():
        return None
    try:
        return load_file(path)["pooled_KD"]
    except (SafetensorError, KeyError, OSError):
        return None


def _write(path: Path | None, pooled_KD: Tensor) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(handle)
    save_file({"pooled_KD": pooled_KD}, name)
    os.replace(name, path)


def _inputs(
    samples: Sequence[Sample], processor: Processor, slot: str, indices: Sequence[int], device: torch.device
) -> dict[str, Tensor]:
    items = [processor(samples[index], False, slots=[slot])[slot] for index in indices]
    return {key: value.to(device) for key, value in processor.collate_slot(slot, items).items()}


def _require_frozen(model: OmniModel, slot: str, inputs: dict[str, Tensor]) -> None:
    """The graph itself says which parameters a slot's pooled state depends on."""
    with torch.enable_grad():
        pooled = model.encode_slot(slot, inputs).pooled[slot]
    if not pooled.requires_grad:
        return
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(pooled.sum(), [parameter for _, parameter in named], allow_unused=True)
    culprits = [name for (name, _), gradient in zip(named, gradients, strict=True) if gradient is not None]
    parts = list(dict.fromkeys(_part(name) for name in culprits))
    raise ConfigError(
        f"cache: the features of slot {slot!r} cannot be kept, since {len(culprits)} parameters under them still train "
        f"({', '.join(parts[:8])}{', ...' if len(parts) > 8 else ''}). Put these parts into the stage's `freeze`, or "
        f"take {slot!r} out of `cache`."
    )


def _part(name: str) -> str:
    """A name without its layer number and leaf, as a freeze pattern."""
    parts = ["*" if part.isdigit() else part for part in name.split(".")]
    return ".".join(parts[:-1] or parts)
