"""Cached features: towers that do not train are run once over the distinct items of their slot."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
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
            _require_frozen_of_first(model, samples, processor, slot, indices)
        path = _path(folder, model, processor, slot, list(first), autocast)
        kept = _read(path, items=len(first))
        if kept is not None:
            return _table(first, *kept)
        pieces, found = [], []
        with torch.no_grad(), torch.autocast(model.device.type, dtype=autocast, enabled=autocast is not None):
            for chunk in track(chunks, f"features of {slot}", quiet=quiet):
                inputs, there = _inputs(samples, processor, slot, chunk, model.device)
                found += there
                if inputs:
                    pieces.append(model.encode_slot(slot, inputs).pooled[slot].cpu())
    finally:
        model.train(training)
    pooled_SD = torch.cat(pieces).float() if pieces else torch.zeros(0, model.width)
    present_K = torch.tensor(found, dtype=torch.bool)
    _write(path, pooled_SD, present_K)
    return _table(first, pooled_SD, present_K)


def _table(keys: Iterable[str], pooled_SD: Tensor, present_K: Tensor) -> FeatureTable:
    there = [key for key, present in zip(keys, present_K.tolist(), strict=True) if present]
    return FeatureTable({key: row for row, key in enumerate(there)}, pooled_SD)


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
    fixed = [(name, parameter) for name, parameter in model.named_parameters() if not parameter.requires_grad]
    for name, tensor in sorted([*fixed, *model.named_buffers()], key=lambda pair: pair[0]):
        if tensor is not None:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    modality, transform = processor.modalities[slot], processor.transforms[slot]
    settings = [slot, modality, type(transform).__name__, transform.to_config(), list(keys), str(autocast)]
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(json.dumps(model.config.to_dict(), sort_keys=True).encode())
    return Path(folder) / f"{slot}-{digest.hexdigest()[:24]}.safetensors"


def _read(path: Path | None, *, items: int) -> tuple[Tensor, Tensor] | None:
    """Kept features (S, D) and which of the K items have them, or None; a damaged file is made again."""
    if path is None or not path.is_file():
        return None
    try:
        kept = load_file(path)
        return kept["pooled_KD"], kept.get("present_K", torch.ones(items, dtype=torch.bool))
    except (SafetensorError, KeyError, OSError):
        return None


def _write(path: Path | None, pooled_SD: Tensor, present_K: Tensor) -> None:
    """Where an item has no features, the file says which have."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(handle)
    save_file({"pooled_KD": pooled_SD} | ({} if present_K.all() else {"present_K": present_K}), name)
    os.replace(name, path)


def _inputs(
    samples: Sequence[Sample], processor: Processor, slot: str, indices: Sequence[int], device: torch.device
) -> tuple[dict[str, Tensor], list[bool]]:
    """Adapter inputs of the items that have something for the slot ({} if none has), and which have."""
    items = [processor(samples[index], False, slots=[slot]).get(slot) for index in indices]
    there = [item for item in items if item is not None]
    inputs = processor.collate_slot(slot, there) if there else {}
    return {key: value.to(device) for key, value in inputs.items()}, [item is not None for item in items]


def _require_frozen_of_first(
    model: OmniModel, samples: Sequence[Sample], processor: Processor, slot: str, indices: Sequence[int]
) -> None:
    """_require_frozen with the first item that has something for the slot."""
    for index in indices:
        inputs, _ = _inputs(samples, processor, slot, [index], model.device)
        if inputs:
            _require_frozen(model, slot, inputs)
            return


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
