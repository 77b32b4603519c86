"""Follow one sample from file to loss: each stage of the way of the data, with the shapes that leave it.

    python tools/trace_sample.py MODALITY [--file FILE] [--size nano]

Without a file the modality's own synthetic sample is used. The model is freshly initialised; what matters is the way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from omni.core.model import ModelConfig, OmniModel
from omni.core.sizes import size
from omni.data.loaders import SlotLoader, describe
from omni.data.processor import Processor
from omni.engine.forward_pass import ForwardPass
from omni.errors import OmniError
from omni.plugin.catalog import get_catalog
from omni.registry import OBJECTIVES
from omni.types import Sample


def shapes(value: Any) -> str:
    """What a value looks like, in a few words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shapes(item)}" for name, item in value.items())
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return describe(value)


def trace(modality: str, *, value: Any = None, size_name: str = "nano") -> list[tuple[str, str, str]]:
    """(stage, what did it, what left it) of every stage, for two samples of one modality as a pair of slots.

    Args:
        value: what the loader takes; None = the modality's synthetic sample.
    """
    catalog = get_catalog()
    entry = catalog.get("modality", modality)
    spec, slots = entry.spec, {"first": modality, "second": modality}
    sample = catalog.resolve(spec.sample, needed_by=entry)
    steps = []
    if value is not None:
        raw = SlotLoader("first", modality=modality)(value)
        steps.append(("raw sample", "your file", shapes(value)))
        steps.append(("loader", spec.loader, shapes(raw)))
    else:
        raw = sample()
        steps.append(("raw value", spec.sample, shapes(raw)))
    processor = Processor({slot: {"modality": modality} for slot in slots})
    other = sample("other")
    items = []
    for name, first in (("one", raw), ("two", other)):
        tensors = {slot: processor.transforms[slot](first, training=slot == "second") for slot in slots}
        items.append((Sample(id=name, values=dict.fromkeys(slots, first)), tensors))
    steps.append(("transform", type(processor.transforms["first"]).__name__, shapes(items[0][1]["first"])))
    batch = processor.collate(items)
    steps.append(("collate", "2 samples", shapes(batch.inputs["first"])))
    model = OmniModel(_config(slots, size_name)).eval()
    with torch.no_grad():
        return steps + _through_model(model, batch, modality)


def _through_model(model: OmniModel, batch: Any, modality: str) -> list[tuple[str, str, str]]:
    tokens = model.tokenize("first", batch.inputs["first"])
    real = tokens.valid_BL.sum(1).tolist()
    adapter = type(model.adapters[modality]).__name__
    steps = [("adapter", adapter, f"tokens_BLD {shapes(tokens.tokens_BLD)}, {real} real")]
    fp = ForwardPass(model, batch)
    core = fp.core("first")
    steps.append(("core", f"{len(model.core.layers)} blocks", f"hidden_BLD {shapes(core.hidden_BLD)}"))
    how = "summary token" if tokens.summary_index is not None else "mean"
    steps.append(("pooled", how, shapes(fp.pooled("first"))))
    embedding = fp.embedding("first")
    lengths = [round(float(length), 3) for length in embedding.values_BE.norm(dim=1)]
    what = f"values_BE {shapes(embedding.values_BE)}, lengths {lengths}"
    steps.append(("projection", model.config.embedding_norm, what))
    output = OBJECTIVES.build({"type": "info_nce", "slots": ["first", "second"]})(fp)
    parts = ", ".join(f"{name} {float(part):.4f}" for name, part in output.parts.items())
    steps.append(("objective", "info_nce", f"loss {float(output.total):.4f}" + (f" ({parts})" if parts else "")))
    return steps


def _config(slots: dict[str, str], name: str) -> ModelConfig:
    return ModelConfig(**size(name), slots=slots, embedding_width=64)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modality", help="one of the installed modalities")
    parser.add_argument("--file", help="a file of the modality, or a string where it takes strings")
    parser.add_argument("--size", choices=("nano", "micro", "tiny", "small", "base"), default="nano")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    try:
        steps = trace(options.modality, value=options.file, size_name=options.size)
    except OmniError as error:
        print(f"trace_sample: {error}", file=sys.stderr)
        return 2
    widths = [max(len(step[column]) for step in steps) for column in (0, 1)]
    for stage, who, what in steps:
        print(f"{stage:<{widths[0]}}  {who:<{widths[1]}}  {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
