"""The table of shapes for one seed: from the icon of a piece of furniture whose name is held out to its shape.

Trains the head shape_field on icons and clouds of furniture3d from scratch, makes a shape of each held-out model's
icon, and measures it beside the mean shape of the model's class, the training shape whose icon is nearest in image
embedding (and in pixels), and the training shape that is truly nearest. Writes results.json into the output folder.
A second run goes on where the first stopped, and reuses a complete training.

    omni data build furniture3d
    python tools/three_d_table.py --output work_dirs/three_d/seed0 [--seed 0] [--root FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

POINTS, COARSE, SHORTLIST = 2048, 512, 10
THRESHOLD = 0.025  # of the F-score, in longest sides
LEVELS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
PIXELS = 32
ROWS = {
    "head": "from the icon, by the head",
    "class_mean": "mean shape of the true class",
    "nearest_embedding": "training shape, icon nearest in embedding",
    "nearest_pixels": "training shape, icon nearest in pixels and outline",
    "oracle": "training shape truly nearest",
    "floor": "the truth's own voxels",
}


@dataclass(kw_only=True)
class Shapes:
    """A split: clouds (N, 2048, 3) in shape space, solids (N, G, G, G) bool, classes (N,), icons (bytes)."""

    clouds: np.ndarray
    solids: np.ndarray
    classes: np.ndarray
    icons: list[bytes]


def run(output: Path, *, root: str | None, seed: int, steps: int | None, pictures: bool = True) -> dict[str, Any]:
    """Train and measure; writes ``output/results.json``."""
    import omni

    folder, seconds = train_once(output, root=root, seed=seed, steps=steps)
    train, test = read_shapes("train", root), read_shapes("test", root)
    model = omni.load(str(folder))
    start = time.process_time()
    shapes = [item.value for item in model.predict("reconstruction", head="shape_field", image=test.icons)]
    predict_seconds = time.process_time() - start
    chosen = {
        "nearest_embedding": nearest_icons(*(embed(model, part.icons) for part in (test, train))),
        "nearest_pixels": nearest_icons(*(pixels(part.icons) for part in (test, train))),
        "oracle": oracle(output.parent, train, test),
    }
    measured = measure(train, test, shapes, chosen)
    result = {
        "seed": seed,
        "cpu_seconds": seconds,
        "predict_cpu_seconds": predict_seconds,
        "samples": len(test.clouds),
        "unit": "longest side of the bounding box",
        "threshold": THRESHOLD,
        "without_surface": sum(not shape.has_surface for shape in shapes),
        "rows": {name: {key: float(np.mean(values)) for key, values in row.items()} for name, row in measured.items()},
        "chamfer": {name: [round(value, 5) for value in row["chamfer"]] for name, row in measured.items()},
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if pictures:
        draw(output / "shapes.png", test, shapes, train, chosen["nearest_embedding"])
    return result


def train_once(output: Path, *, root: str | None, seed: int, steps: int | None) -> tuple[Path, float]:
    """Train, or go on training, unless the same training is complete; the model's folder and the processor seconds."""
    from omni import config as configs
    from omni.engine.training import train

    settings = [] if root is None else [f"train_dataloader.dataset.root={root}"]
    settings += [] if steps is None else [f"train_cfg.max_iters={steps}"]
    path = config_folder() / "furniture3d_shapes.py"
    folder = output / "training"
    state = folder / "table.json"
    key = json.dumps([settings, seed, path.read_text()])
    known = json.loads(state.read_text()) if state.exists() else {}
    if known.get("key") != key:
        shutil.rmtree(folder, ignore_errors=True)
        known = {"key": key, "cpu_seconds": 0.0, "complete": False}
    if not known["complete"]:
        folder.mkdir(parents=True, exist_ok=True)
        state.write_text(json.dumps(known))
        start = time.process_time()
        try:
            train(configs.load(path, overrides=settings), work_dir=folder, seed=seed, quiet=True, resume=True)
            known["complete"] = True
        finally:
            known["cpu_seconds"] += time.process_time() - start
            state.write_text(json.dumps(known))
    return folder / "model", known["cpu_seconds"]


def config_folder() -> Path:
    """Where the configs lie: beside the package in a checkout, inside it in a wheel."""
    import omni_plugin_three_d

    package = Path(omni_plugin_three_d.__file__).parent
    return next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())


def read_shapes(split: str, root: str | None) -> Shapes:
    """Every model of a split once."""
    from omni_plugin_pointcloud.furniture import Furniture3d

    data = Furniture3d(split, languages="en", root=root, shape="surface")
    samples = list(data)
    return Shapes(
        clouds=np.stack([sample.targets["surface"] for sample in samples]),
        solids=np.stack([data.solid(sample.targets["model"])[1] for sample in samples]),
        classes=np.array([sample.targets["class"] for sample in samples]),
        icons=[sample.values["image"] for sample in samples],
    )


def embed(model: Any, icons: list[bytes]) -> np.ndarray:
    """(N, E) image embeddings of unit length, trained to find the clouds."""
    return model.encode(image=icons, progress=False)["image"].double().numpy()


def pixels(icons: list[bytes]) -> np.ndarray:
    """(N, 4 P P): colours on white, halved, and twice the outline (the icons' alpha), scaled down."""
    import io

    from PIL import Image

    found = []
    for data in icons:
        small = Image.open(io.BytesIO(data)).convert("RGBA").resize((PIXELS, PIXELS), Image.Resampling.BOX)
        values = np.asarray(small, np.float64) / 255
        outline = values[..., 3:]
        colors = values[..., :3] * outline + 1 - outline
        found.append(np.concatenate((0.5 * colors.ravel(), 2 * outline.ravel())))
    return np.stack(found)


def nearest_icons(test_NE: np.ndarray, train_ME: np.ndarray) -> np.ndarray:
    """(N,) index of the nearest training icon."""
    from scipy.spatial.distance import cdist

    return cdist(test_NE, train_ME).argmin(1)


def oracle(folder: Path, train: Shapes, test: Shapes) -> np.ndarray:
    """(N,) index of the training shape with the least Chamfer distance: the ten nearest by 512 points, then by all.
    The same for every seed, so it is kept in ``folder``."""
    from omni_plugin_three_d.metrics import PointIndex, chamfer

    key = hashlib.sha256(train.clouds.tobytes() + test.clouds.tobytes()).hexdigest()[:16]
    path = folder / f"oracle-{key}.json"
    if path.exists():
        return np.array(json.loads(path.read_text()))
    coarse = [PointIndex(cloud[:COARSE]) for cloud in train.clouds]
    fine = [PointIndex(cloud) for cloud in train.clouds]
    found = []
    for cloud in test.clouds:
        rough = PointIndex(cloud[:COARSE])
        order = np.argsort([chamfer(other, rough).mean for other in coarse])[:SHORTLIST]
        exact = PointIndex(cloud)
        found.append(int(min(order, key=lambda place, truth=exact: chamfer(fine[place], truth).mean)))
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return np.array(found)


def class_means(train: Shapes) -> dict[int, Any]:
    """class -> the mean of its training solids, cut at the level that fits those best by Chamfer distance."""
    from dataclasses import replace

    from omni_plugin_three_d.metrics import PointIndex, chamfer
    from omni_plugin_three_d.shape import shape_of_solid

    made = {}
    for number in np.unique(train.classes):
        mine = np.flatnonzero(train.classes == number)
        mean = shape_of_solid(train.solids[mine].mean(0))
        truths = [PointIndex(train.clouds[place][:COARSE]) for place in mine]
        best = (np.inf, mean)
        for level in LEVELS:
            shape = replace(mean, level=level)
            if shape.has_surface:
                points = PointIndex(shape.points(POINTS))
                best = min(best, (float(np.mean([chamfer(points, t).mean for t in truths])), shape), key=lambda b: b[0])
        made[int(number)] = best[1]
    return made


def measure(
    train: Shapes, test: Shapes, shapes: list[Any], chosen: dict[str, np.ndarray]
) -> dict[str, dict[str, list[float]]]:
    """row -> number -> a value for each test shape."""
    from omni_plugin_three_d.metrics import PointIndex
    from omni_plugin_three_d.shape import shape_of_solid

    means = class_means(train)
    mean_points = {number: PointIndex(shape.points(POINTS)) for number, shape in means.items()}
    centres = voxel_centres(test.solids.shape[1])
    mean_inside = {number: shape.contains(centres) for number, shape in means.items()}
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in ROWS}
    for place, cloud in enumerate(test.clouds):
        truth, solid, number = PointIndex(cloud), test.solids[place].reshape(-1), int(test.classes[place])
        shape = with_surface(shapes[place])
        add(rows["head"], PointIndex(shape.points(POINTS)), truth, shape.contains(centres), solid)
        add(rows["class_mean"], mean_points[number], truth, mean_inside[number], solid)
        for name, index in chosen.items():
            other = int(index[place])
            add(rows[name], PointIndex(train.clouds[other]), truth, train.solids[other].reshape(-1), solid)
        own = PointIndex(shape_of_solid(test.solids[place]).points(POINTS))
        add(rows["floor"], own, truth, solid, solid)
    return rows


def add(row: dict[str, list[float]], predicted: Any, truth: Any, inside: np.ndarray, solid: np.ndarray) -> None:
    """One shape's numbers, lengths in longest sides."""
    from omni_plugin_three_d.frame import SIDE
    from omni_plugin_three_d.metrics import chamfer, f_score, volumetric_iou

    plain, squared = chamfer(predicted, truth), chamfer(predicted, truth, squared=True)
    numbers = {
        "chamfer": plain.mean / SIDE,
        "accuracy": plain.accuracy / SIDE,
        "completeness": plain.completeness / SIDE,
        "chamfer_squared": squared.mean / SIDE**2,
        "f_score": f_score(predicted, truth, threshold=THRESHOLD * SIDE).value,
        "iou": volumetric_iou(inside, solid),
    }
    for name, value in numbers.items():
        row.setdefault(name, []).append(value)


def with_surface(shape: Any) -> Any:
    """The shape, or, where its level is nowhere crossed, cut half way between its least and largest occupancy."""
    from dataclasses import replace

    middle = (float(shape.values_XYZ.min()) + float(shape.values_XYZ.max())) / 2
    return shape if shape.has_surface else replace(shape, level=middle)


def voxel_centres(grid: int) -> np.ndarray:
    """(G * G * G, 3) in shape space."""
    line = (np.arange(grid) + 0.5) * (2 / grid) - 1
    return np.stack(np.meshgrid(line, line, line, indexing="ij"), 3).reshape(-1, 3)


def draw(path: Path, test: Shapes, shapes: list[Any], train: Shapes, nearest: np.ndarray) -> None:
    """Icon, the head's shape, the nearest training shape and the truth of eight held-out models, two in a row."""
    import io

    from PIL import Image

    from omni_plugin_three_d.shape import shape_of_solid

    size = 112
    sheet = Image.new("RGB", (8 * size, 4 * size), (255, 255, 255))
    for number, place in enumerate(np.linspace(0, len(shapes) - 1, 8).astype(int)):
        icon = Image.open(io.BytesIO(test.icons[place])).convert("RGBA").resize((size, size))
        row = [Image.alpha_composite(Image.new("RGBA", icon.size, (255, 255, 255, 255)), icon).convert("RGB")]
        for shape in (
            with_surface(shapes[place]), shape_of_solid(train.solids[nearest[place]]),
            shape_of_solid(test.solids[place]),
        ):  # fmt: skip
            row += shape.turntable(views=1, size=size)
        for column, picture in enumerate(row):
            sheet.paste(picture, ((number % 2 * 4 + column) * size, number // 2 * size))
    sheet.save(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="default: work_dirs/three_d/seed<N>")
    parser.add_argument("--root", help="folder of the data set; default: where omni data build puts it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of the training, for trying")
    options = parser.parse_args()
    output = options.output or Path("work_dirs/three_d") / f"seed{options.seed}"
    result = run(output.resolve(), root=options.root, seed=options.seed, steps=options.steps)
    print(
        f"seed {options.seed}, {result['cpu_seconds'] / 60:.1f} minutes of training; {result['samples']} held-out "
        f"models, {result['without_surface']} without a surface at the head's level"
    )
    print(f"{'lengths in longest sides':<52} chamfer  F@{THRESHOLD:g}  IoU")
    for name, row in result["rows"].items():
        print(f"{ROWS[name]:<52} {row['chamfer']:.4f}   {row['f_score']:.3f}    {row['iou']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
