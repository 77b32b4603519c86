"""Folders of classes and of pairs: what belongs together, what is left out, what cannot be meant."""

from __future__ import annotations

import numpy as np
import pytest

from omni.data.folders import FolderDataset
from omni.errors import ConfigError, InputError


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.lower().endswith(".stripe"):
            with path.open("wb") as file:
                np.save(file, np.zeros(4, np.float32))
        else:
            path.write_text(f"word of {path.stem}\n")
    return root


def test_classes(toy_plugin, tmp_path):
    make(
        tmp_path,
        "dog/b.stripe",
        "dog/deep/a.v2.STRIPE",
        "dog/.hidden.stripe",
        "dog/readme.md",
        "cat/x.stripe",
        ".git/y.stripe",
    )
    data = FolderDataset(tmp_path)
    assert data.classes == ("cat", "dog") and data.slots == ("stripe",) and len(data) == 3
    found = [(sample.id, sample.targets["class"], sample.meta["class"]) for sample in data]
    assert found == [("cat/x.stripe", 0, "cat"), ("dog/b.stripe", 1, "dog"), ("dog/deep/a.v2.STRIPE", 1, "dog")]
    assert data[-1].values == {"stripe": tmp_path / "dog/deep/a.v2.STRIPE"}
    fixed = FolderDataset(tmp_path, classes=["dog", "mouse", "cat"], slots=["left"], modalities={"left": "stripe"})
    assert [sample.targets["class"] for sample in fixed] == [2, 0, 0] and set(fixed[0].values) == {"left"}
    with pytest.raises(IndexError):
        data[3]


def test_classes_of_text_are_read(toy_plugin, tmp_path):
    make(tmp_path, "a/one.txt", "a/two.stripe")
    data = FolderDataset(tmp_path, slots={"word": "txt"})
    assert data[0].values == {"word": "word of one"} and len(data) == 1
    (tmp_path / "a/one.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match="one.txt cannot be read as text"):
        data[0]


def test_pairs_in_one_tree(toy_plugin, tmp_path):
    make(tmp_path, "b.stripe", "a.1.stripe", "a.1.txt", "deep/c.left.stripe", "deep/c.stripe", "deep/c.txt", "z.md")
    data = FolderDataset(
        tmp_path, layout="pairs", slots={"stripe": "stripe", "word": ".txt", "left": "left.stripe"},
        modalities={"left": "stripe"},
    )  # fmt: skip
    assert [(sample.id, sorted(sample.values)) for sample in data] == [
        ("a.1", ["stripe", "word"]), ("b", ["stripe"]), ("deep/c", ["left", "stripe", "word"]),
    ]  # fmt: skip
    assert data[0].values["word"] == "word of a.1" and data[2].values["left"].name == "c.left.stripe"
    guessed = FolderDataset(tmp_path, layout="pairs", modalities={"left": "stripe"})
    assert set(guessed.slots) == {"stripe", "left", "text"} and guessed[0].values["text"] == "word of a.1"


def test_pairs_in_a_folder_for_each_slot(toy_plugin, tmp_path):
    make(tmp_path, "left/a.stripe", "left/sub/b.stripe", "right/a.stripe", "right/a.md", "right/c.stripe", "notes.md")
    modalities = {"left": "stripe", "right": "stripe"}
    for slots in (None, ["left", "right"], {"left": "left", "right": "right"}):
        data = FolderDataset(tmp_path, layout="pairs", slots=slots, modalities=modalities)
        assert [(sample.id, sorted(sample.values)) for sample in data] == [
            ("a", ["left", "right"]), ("c", ["right"]), ("sub/b", ["left"]),
        ]  # fmt: skip
    with pytest.raises(InputError, match="no folder 'up' for the slot 'up'"):
        FolderDataset(tmp_path, layout="pairs", slots={"left": "left", "up": "up"}, modalities=modalities)


def test_what_cannot_be_meant(toy_plugin, tmp_path):
    with pytest.raises(InputError, match="No folder"):
        FolderDataset(tmp_path / "x")
    with pytest.raises(ConfigError, match="layout is 'clases'"):
        FolderDataset(tmp_path, layout="clases")
    with pytest.raises(InputError, match="wants one a class"):
        FolderDataset(tmp_path)
    make(tmp_path, "a/x.md")
    with pytest.raises(ConfigError, match="none of the fields md"):
        FolderDataset(tmp_path)
    make(tmp_path, "a/x.stripe")
    with pytest.raises(ConfigError, match="the class 'a', which is not among"):
        FolderDataset(tmp_path, classes=["b"])
    with pytest.raises(ConfigError, match="belongs to layout='classes'"):
        FolderDataset(tmp_path, layout="pairs", classes=["a"])
    with pytest.raises(InputError, match="holds no file of the slots word"):
        FolderDataset(tmp_path, slots={"word": "txt"})
    make(tmp_path, "a/x.txt", "a/x.text")
    with pytest.raises(InputError, match="x.text and x.txt would both be the slot 'word' of the sample 'a/x'"):
        FolderDataset(tmp_path, layout="pairs", slots={"word": "txt;text"})


def test_an_ending_of_two_modalities_must_be_said(toy_plugin, tmp_path):
    from omni.plugin import catalog
    from omni.plugin.hookspecs import hookimpl
    from omni.plugin.specs import ModalitySpec, PluginInfo

    class Second:
        @staticmethod
        @hookimpl
        def omni_plugin_info():
            return PluginInfo(name="second")

        @staticmethod
        @hookimpl
        def omni_modalities():
            return [
                ModalitySpec(
                    name="bars", target="toy_modalities:StripeAdapter", loader="toy_modalities:load_stripe",
                    transform="stripe_frames", sample="toy_modalities:sample_stripe", extensions=(".stripe",),
                )
            ]  # fmt: skip

    catalog.register(Second, "second")
    make(tmp_path, "a/x.stripe")
    with pytest.raises(ConfigError, match="end with .stripe may be .*bars"):
        FolderDataset(tmp_path)
    assert FolderDataset(tmp_path, slots=["bars"]).slots == ("bars",)
