"""Contract checks of an augmentation: it changes training, within what the modality's default transform makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omni.plugin.catalog import get_catalog
from omni.plugin.specs import TransformSpec
from omni.testing.transform import modality_of, samples

if TYPE_CHECKING:
    from torch import Tensor

SEEDS = 20  # for one of them to change the typical sample
FEW = 3


def _made(spec: TransformSpec) -> tuple[Any, Any]:
    """The augmentation with its defaults, bound to the default transform of its modality."""
    from omni.data.augment import build_augmentation

    transform = get_catalog().component("transform", modality_of(spec).transform)()
    made = build_augmentation("slot", {"type": spec.name}, modality=spec.modality, transform=transform)
    return made, transform


class _Changed:
    """The changed samples of one raw value by seed; what the transform makes is made once where it can be."""

    def __init__(self, spec: TransformSpec, raw: Any) -> None:
        from omni.data.augment import Augmentation

        self.made, self.transform = _made(spec)
        self.raw, self.plain = raw, self.transform(raw)
        self.of_tensors = type(self.made).raw is Augmentation.raw

    def __call__(self, seed: int) -> dict[str, Tensor]:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.made.tensors(self.plain if self.of_tensors else self.transform(self.made.raw(self.raw)))


def seed_decides(spec: TransformSpec) -> None:
    """The same seed gives the same sample, and some seed changes the typical one."""
    import torch

    for variant, raw in samples(modality_of(spec)).items():
        changed, moved = _Changed(spec, raw), False
        for seed in range(SEEDS if variant == "typical" else FEW):
            first, again = changed(seed), changed(seed)
            same = all(torch.equal(value, again[key]) for key, value in first.items())
            assert same, f"{variant}: two runs with the seed {seed} differ; draw from torch's global generator only"
            moved = any(not torch.equal(first[key], value) for key, value in changed.plain.items())
            if moved:
                break
        assert moved or variant != "typical", f"by its defaults none of {SEEDS} seeds changes the typical sample"


def keeps_the_form(spec: TransformSpec) -> None:
    """Keys, types and finiteness stay; what was given is not changed in place; the batch can be collated."""
    import torch

    items = []
    for variant, raw in samples(modality_of(spec)).items():
        changed = _Changed(spec, raw)
        given = {key: value.clone() for key, value in changed.plain.items()}
        for seed in range(FEW):
            found = changed(seed)
            assert found.keys() == given.keys(), f"{variant}: gives {set(found)}, not {set(given)}"
            for key, value in found.items():
                assert value.dtype == given[key].dtype, f"{variant}: {key} became {value.dtype}"
                finite = not value.is_floating_point() or bool(torch.isfinite(value).all())
                assert finite, f"{variant}: {key} has values that are not finite"
        items.append(found)
        after = changed.transform(raw)
        for key, value in given.items():
            assert torch.equal(value, changed.plain[key]), f"{variant}: it changes the tensors it is given ({key})"
            assert torch.equal(value, after[key]), f"{variant}: it changes the raw value it is given ({key})"
    changed.transform.collate(items)


CHECKS = (seed_decides, keeps_the_form)
