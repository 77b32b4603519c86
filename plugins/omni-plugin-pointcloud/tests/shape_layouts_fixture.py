"""Writes tiny folders in the published layouts, with boxes and tetrahedra: names, columns and quirks as published."""

from __future__ import annotations

import json
from pathlib import Path

from shape_files import TETRA_F, TETRA_V, mesh_file, off_text


def modelnet(root: Path) -> Path:
    """Three classes, two training models and a test model each; some counts glued to the letters."""
    for number, kind in enumerate(("bathtub", "chair", "night_stand")):
        for place, (split, count) in enumerate((("train", 2), ("test", 1))):
            folder = root / kind / split
            folder.mkdir(parents=True)
            for model in range(count):
                scaled = tuple(tuple(value * (1 + number + model) for value in row) for row in TETRA_V)
                text = off_text(scaled, TETRA_F, glued=model == 1 or number == 2)
                (folder / f"{kind}_{1 + model + 2 * place:04d}.off").write_text(text)
            (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "__MACOSX" / "chair").mkdir(parents=True)
    (root / "README.txt").write_text("a readme\n")
    return root


SYNSETS = (
    ("02691156", "airplane,aeroplane,plane", ["02690373"]), ("02690373", "airliner", []),
    ("03797390", "mug", ["02824058"]), ("02824058", "beer mug,stein", []), ("04256520", "sofa,couch,lounge", []),
)  # fmt: skip
MODELS = (  # synset, narrower synset, model, split
    ("02691156", "02690373", "1a04e3eab45ca15dd86060f189eb133", "train"),
    ("02691156", "02691156", "1a32f10b20170883663e90eaf6b4ca52", "train"),
    ("02691156", "02690373", "1a54a2319e87bd4071d11466c70b51d0", "val"),
    ("03797390", "02824058", "1a1c0a8d4bad82169f0594e65f756cf5", "train"),
    ("03797390", "03797390", "1a97f3c83016abca21d0de04f408950f", "test"),
)


def shapenet(root: Path, *, version: int = 2) -> Path:
    """Five models of two synsets; the taxonomy knows more synsets, the table writes numbers without leading zeros."""
    root.mkdir(parents=True, exist_ok=True)
    keys = ("synsetId", "name", "children")
    rows = [dict(zip(keys, synset, strict=True), numInstances=3) for synset in SYNSETS]
    (root / "taxonomy.json").write_text(json.dumps(rows))
    lines = ["id,synsetId,subSynsetId,modelId,split"]
    for number, (synset, narrow, model, split) in enumerate(MODELS):
        folder = root / synset / model
        place = folder / ("models/model_normalized.obj" if version == 2 else "model.obj")
        place.parent.mkdir(parents=True)
        head = f"mtllib {place.stem}.mtl\n".encode() if version == 2 else b""
        place.write_bytes(head + mesh_file("obj"))
        place.with_suffix(".mtl").write_text("newmtl material_0_24\nKd 0.2 0.4 0.6\nmap_Kd ../images/texture0.jpg\n")
        lines.append(f"{number:06d},{int(synset)},{int(narrow)},{model},{split}")
    (root / "all.csv").write_text("\n".join(lines) + "\n")
    return root
