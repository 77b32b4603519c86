"""Exports an edition as plain files and JSONL manifests, one column a slot, for any reader."""

from __future__ import annotations

import json
from pathlib import Path

from omni_plugin_m3mini.dataset import M3Mini
from omni_plugin_m3mini.store import EditionStore
from omni_plugin_m3mini.tables import SPLITS


def write_manifest(folder: Path, out: Path, *, w: int, view: str = "triples") -> Path:
    """Write ``out/{view}-w{w}-{split}.jsonl`` with columns id, image, audio, text, meta, targets.

    Pictures and clips are written once each below ``out/image`` and ``out/audio``; paths are relative to ``out``.
    """
    name = EditionStore(folder).info["name"]
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        data = M3Mini(name, w=w, split=split, root=folder, view=view)
        with open(out / f"{view}-w{w}-{split}.jsonl", "w", encoding="utf-8") as file:
            for index in range(len(data)):
                sample = data[index]
                row = {"id": sample.id}
                for slot, ending in (("image", ".png"), ("audio", ".ogg")):
                    if slot in sample.values:
                        row[slot] = _keep(out, slot, sample.keys[slot] + ending, sample.values[slot])
                row |= {"text": sample.values["text"], "meta": sample.meta, "targets": sample.targets}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return out


def _keep(out: Path, slot: str, name: str, data: bytes) -> str:
    path = out / slot / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return f"{slot}/{name}"
