"""The card of a model folder: what it is, what it takes, what was measured; made from its config alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_card(path: Path, name: str, config: Mapping[str, Any], *, parameters: int) -> None:
    """Write the card as Markdown.

    Args:
        config: the contents of config.json; of its "info" the keys "summary", "license", "trained_on", "terms"
            (omni.data.terms) and "results" (dictionaries with dataset, split, metric, value) are shown.
    """
    model, info = config["model"], config["info"]
    slots = model["slots"]
    lines = [f"# {name}", "", str(info.get("summary", "A model of the omni package."))]
    lines += ["", "```python", "import omni", "", f"model = omni.load({name!r})"]
    shown = ", ".join(f"{slot}=[...]" for slot in slots)
    lines += [f"embeddings = model.encode({shown})", "```", ""]
    lines += ["| slot | modality | transform |", "|---|---|---|"]
    settings = config["processor"]
    lines += [f"| {slot} | {kind} | {settings.get(slot, {}).get('type', '')} |" for slot, kind in slots.items()]
    lines += ["", f"{parameters:,} parameters; width {model['width']}, {model['num_layers']} layers, "
              f"{model['num_heads']} heads; embeddings of {model['embedding_width']} numbers "
              f"({model['embedding_norm']})."]  # fmt: skip
    groups = config["trained_groups"]
    if groups:
        lines += ["", "Scores that mean something:"]
        lines += [f"- {', '.join(group['slots'])}: {group['score']}" for group in groups]
    if info.get("trained_on"):
        lines += ["", f"Trained on: {_words(info['trained_on'])}."]
    if info.get("terms"):
        lines += ["", "Terms of the data that it was trained on:"]
        lines += [f"- {_term(item)}" for item in info["terms"]]
    if info.get("results"):
        lines += ["", "| data set | split | metric | value |", "|---|---|---|---|"]
        lines += [
            f"| {row.get('dataset', '')} | {row.get('split', '')} | {row.get('metric', '')} | {row.get('value', '')} |"
            for row in info["results"]
        ]
    if info.get("license"):
        lines += ["", f"License: {info['license']}."]
    plugins = ", ".join(f"{item['distribution']} {item['version']}" for item in config["plugins"])
    lines += ["", f"Saved by omni {config['omni']} with {plugins or 'no plugin'}."]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value))


def _term(item: Mapping[str, Any]) -> str:
    told = f"{item.get('data', 'data')}: {item.get('license') or 'no licence named'}"
    told += f". {item['notice']}" if item.get("notice") else ""
    if item.get("publish", True):
        return told
    return f"{told}. **Models trained on it must not be published**" + (f": {item['why']}" if item.get("why") else "")
