"""What the demo writes for people: curves, a gallery page, the model folder and an index over the pictures."""

from __future__ import annotations

import base64
import html
import json
import shutil
from pathlib import Path
from typing import Any

QUERIES = 24
SHOWN = 5
STYLE = """body{font:16px/1.4 system-ui;max-width:1100px;margin:2em auto;padding:0 1em}
.query{display:flex;gap:1em;align-items:center;border-top:1px solid #ccc;padding:.6em 0}
.words{width:20em}.found{display:flex;gap:.5em}figure{margin:0;text-align:center;font-size:12px;width:84px}
img{width:64px;height:64px;border:3px solid transparent}.right img{border-color:#2a2}.wrong img{border-color:#c33}
audio{width:9em}"""


def draw_curves(folders: dict[str, Path], path: Path) -> None:
    """Loss against step of every run, from the numbers that training kept."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, folder in folders.items():
        rows = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
        points = [(row["step"], row["loss"]) for row in rows if "loss" in row]
        axes.plot(*zip(*points, strict=True), label=name)
    axes.set(xlabel="step of the second stage", ylabel="loss", title="m3mini")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def write_model_and_index(source: Path, output: Path, dataset: Any) -> tuple[Any, Any]:
    """model/ and index/ in the output folder; the index holds every picture of an M3Mini with its class and name."""
    import omni

    for name in ("model", "index"):
        shutil.rmtree(output / name, ignore_errors=True)
    shutil.copytree(source, output / "model")
    model = omni.load(str(output / "model"))
    gallery = dataset.gallery()
    samples = [gallery[index] for index in range(len(gallery))]
    index = model.index(
        image=[sample.values["image"] for sample in samples],
        ids=[sample.keys["image"] for sample in samples],
        metadata=[{"class": sample.targets["class"], "name": sample.meta["class_name"]} for sample in samples],
    )
    index.save(output / "index")
    return model, index


def write_gallery(model: Any, index: Any, path: Path, dataset: Any) -> None:
    """A page of queries of an M3Mini (a list of words and a clip to play) with the pictures found, right and wrong ones
    framed."""
    w, gallery = dataset.w, dataset.gallery()
    speech = (
        "The speech is of people (KTuberling, GPL-2.0 or later)"
        if dataset.edition == "human"
        else "The speech is synthetic (espeak-ng)"
    )
    pictures = {gallery[i].keys["image"]: gallery[i].values["image"] for i in range(len(gallery))}
    parts, right = [], 0
    step = max(1, len(dataset) // QUERIES)
    for sample in [dataset[i] for i in range(0, step * QUERIES, step)]:
        hits = index.search(text=sample.values["text"], audio=sample.values["audio"], k=SHOWN)
        right += hits[0].metadata["class"] == sample.targets["class"]
        parts.append(_query(sample, hits, pictures))
    intro = (
        f"<h1>Which of the {w} words?</h1><p>Each query is a list of {w} names in {w} languages and a recording of "
        "some other word in one of them. The language that is spoken tells which name counts; neither part alone is "
        "enough. "
        f"Green: the right thing. {right} of {QUERIES} first places are right here. {speech}; "
        "pictures are Noto Emoji (Apache-2.0) and Twemoji (CC-BY 4.0).</p>"
    )
    page = (
        f"<!doctype html><meta charset=utf-8><title>omni: m3mini</title><style>{STYLE}</style>{intro}{''.join(parts)}"
    )
    path.write_text(page, encoding="utf-8")


def _query(sample: Any, hits: Any, pictures: dict[str, bytes]) -> str:
    figures = []
    for hit in hits:
        mark = "right" if hit.metadata["class"] == sample.targets["class"] else "wrong"
        picture = base64.b64encode(pictures[hit.id]).decode()
        name = html.escape(hit.metadata["name"])
        figures.append(
            f'<figure class={mark}><img src="data:image/png;base64,{picture}" alt="{name}">'
            f"<figcaption>{name}</figcaption></figure>"
        )
    sound = base64.b64encode(sample.values["audio"]).decode()
    return (
        f"<div class=query><div class=words>{html.escape(sample.values['text'])}<br><small>spoken: "
        f"{html.escape(sample.meta['spoken'])} ({sample.meta['language']})</small></div>"
        f'<audio controls src="data:audio/ogg;base64,{sound}"></audio><div class=found>{"".join(figures)}</div></div>'
    )
