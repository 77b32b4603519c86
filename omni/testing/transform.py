"""Contract checks of a transform: sample -> tensors -> batch, and its configuration."""

from __future__ import annotations

import functools
import inspect
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni.plugin.catalog import get_catalog
from omni.plugin.specs import ModalitySpec, TransformSpec
from omni.testing.skipped import CheckSkipped

if TYPE_CHECKING:
    from torch import Tensor

    from omni.data.transform import Transform

VARIANTS = ("typical", "other", "minimum")


EVALUATIONS = 8


def samples(spec: ModalitySpec) -> dict[str, Any]:
    """The three raw values of the sample protocol (see ModalitySpec)."""
    function = get_catalog().resolve(spec.sample)
    return {variant: function(variant) for variant in VARIANTS}


def modality_of(spec: TransformSpec) -> ModalitySpec:
    """The modality whose samples the transform takes."""
    return get_catalog().get("modality", spec.modality).spec


def build(spec: TransformSpec) -> Transform:
    """The transform with its defaults."""
    return get_catalog().component("transform", spec.name)()


def tensors_of(transform: Transform, spec: ModalitySpec) -> list[dict[str, Tensor]]:
    """The three samples through the transform, as in evaluation."""
    return [transform(raw) for raw in samples(spec).values()]


def default_can_be_built(spec: TransformSpec) -> None:
    """The default transform of a modality can be built without arguments, so that a user needs none."""
    needed = _needed_settings(spec)
    is_default = get_catalog().has("modality", spec.modality) and modality_of(spec).transform == spec.name
    assert not (needed and is_default), f"{spec.target} cannot be built without {', '.join(needed)}; give them defaults"


def _needed_settings(spec: TransformSpec) -> list[str]:
    parameters = inspect.signature(get_catalog().component("transform", spec.name)).parameters.values()
    return [
        item.name
        for item in parameters
        if item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]


def _where_buildable(check: Callable[[TransformSpec], None]) -> Callable[[TransformSpec], None]:
    """A transform that needs settings (a vocabulary's path) cannot be tried here."""

    @functools.wraps(check)
    def run(spec: TransformSpec) -> None:
        needed = _needed_settings(spec)
        if needed:
            raise CheckSkipped(f"it needs the settings {', '.join(needed)}")
        check(spec)

    return run


@_where_buildable
def makes_tensors(spec: TransformSpec) -> None:
    """Each sample variant gives a dictionary of tensors; evaluation is deterministic."""
    import torch

    transform, modality = build(spec), modality_of(spec)
    for variant, raw in samples(modality).items():
        first = transform(raw)
        assert isinstance(first, dict) and first, f"{variant}: gave {first!r}, not a dictionary of tensors"
        others = []
        with torch.random.fork_rng(devices=[]):
            for seed in range(EVALUATIONS):  # two runs of a coin agree half of the time
                torch.manual_seed(seed)
                others.append(transform(raw))
        for key, value in first.items():
            assert isinstance(value, torch.Tensor), f"{variant}: {key} is {type(value).__name__}, not a tensor"
            same = all(torch.equal(value, other[key]) for other in others)
            assert same, f"{variant}: {key} differs between evaluations of one value"
            finite = not value.is_floating_point() or bool(torch.isfinite(value).all())
            assert finite, f"{variant}: {key} has values that are not finite"


@_where_buildable
def augments(spec: TransformSpec) -> None:
    """``training=True`` gives the same keys and types; a value is never changed in place."""
    import torch

    transform, modality = build(spec), modality_of(spec)
    for variant, raw in samples(modality).items():
        before, trained, after = transform(raw), transform(raw, training=True), transform(raw)
        assert before.keys() == trained.keys(), f"{variant}: training gives {set(trained)}, evaluation {set(before)}"
        for key, value in before.items():
            assert value.dtype == trained[key].dtype, f"{variant}: {key} is {trained[key].dtype} in training"
            assert torch.equal(value, after[key]), f"{variant}: the transform changes the raw value it is given ({key})"


@_where_buildable
def collates(spec: TransformSpec) -> None:
    """Batches of one and of three have the batch dimension in front; masks are boolean and called ``valid_*``."""
    import torch

    transform, modality = build(spec), modality_of(spec)
    items = tensors_of(transform, modality)
    for chosen in ([items[0]], [items[2]], items):
        batch = transform.collate(list(chosen))
        assert batch, "collate gave no tensors"
        for key, value in batch.items():
            assert len(value) == len(chosen), f"{key} has {len(value)} rows for {len(chosen)} items"
            is_mask = key.startswith("valid_")
            assert (value.dtype is torch.bool) == is_mask, (
                f"{key} is {value.dtype}: masks are boolean, True = real, and called valid_*; nothing else is boolean"
            )


@_where_buildable
def config_rebuilds_it(spec: TransformSpec) -> None:
    """``to_config`` gives JSON that builds an equal transform, from the folder where it wrote its files."""
    import torch

    transform, modality = build(spec), modality_of(spec)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = json.loads(json.dumps(transform.to_config(folder)))
        for key, value in config.items():
            if isinstance(value, str) and value and (folder / value).is_file():
                config[key] = str(folder / value)
        again = type(transform)(**config)
        for variant, raw in samples(modality).items():
            first, second = transform(raw), again(raw)
            same = first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
            assert same, f"{variant}: the transform rebuilt from to_config() gives other tensors"


@_where_buildable
def config_keeps_every_setting(spec: TransformSpec) -> None:
    """A setting that is not at its default comes back from ``to_config``."""
    target = get_catalog().component("transform", spec.name)
    usual = target().to_config(None) if not _writes_files(target) else None
    for name, item in inspect.signature(target).parameters.items():
        if usual is None or type(item.default) not in (bool, int, float):
            continue
        other = not item.default if isinstance(item.default, bool) else item.default * 2 + 1
        try:
            changed = target(**{name: other})
        except ValueError:  # the value is not allowed; another would have to be guessed
            continue
        kept = changed.to_config(None).get(name, item.default)
        assert kept != usual.get(name, item.default), f"to_config() forgets the setting {name!r}"


def _writes_files(target: type[Transform]) -> bool:
    """True for a transform whose to_config needs a folder."""
    try:
        target().to_config(None)
    except (OSError, TypeError, ValueError):
        return True
    return False


CHECKS = (default_can_be_built, makes_tensors, augments, collates, config_rebuilds_it, config_keeps_every_setting)
