"""The processor: everything between a sample and the model's batch, saved and loaded with the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omni.data.augment import ROLE, Augmentation, build_augmentation
from omni.data.collate import POOLED_KEY, Item, collate_targets, presence, stack_pooled
from omni.data.loaders import SlotLoader, retold
from omni.data.transform import Transform
from omni.errors import ConfigError, InputError, MissingSlotError, OmniError
from omni.plugin.catalog import get_catalog
from omni.plugin.suggest import did_you_mean
from omni.registry import check_arguments
from omni.types import Batch, Sample

RESERVED = ("modality", "type", "loader", "augmentations")


class Processor:
    """Loads and transforms the slots of a sample, and collates samples to a batch.

    Args:
        slots: slot -> ``{"modality": ..., "type": transform's name, "loader": {loader options}, "augmentations": [...],
            **transform's keyword arguments}``. ``modality`` defaults to the slot's name, ``type`` to the modality's
            default transform. ``augmentations`` (see omni.data.augment) are built when training first needs them.

    Raises:
        ConfigError: an unknown keyword, or a transform of another modality.
        UnknownComponentError: no installed plugin provides the modality or the transform.
    """

    def __init__(self, slots: Mapping[str, Mapping[str, Any]]) -> None:
        self.modalities: dict[str, str] = {}
        self.loaders: dict[str, SlotLoader] = {}
        self.transforms: dict[str, Transform] = {}
        self._types: dict[str, str] = {}
        self.augmentations: dict[str, list[dict[str, Any]]] = {}
        self._augmenters: dict[str, list[Augmentation]] = {}
        for slot, settings in slots.items():
            self._add(slot, dict(settings))

    def _add(self, slot: str, settings: dict[str, Any]) -> None:
        modality = settings.pop("modality", slot)
        loader_options = settings.pop("loader", None)
        self.augmentations[slot] = [dict(item) for item in settings.pop("augmentations", None) or ()]
        self.modalities[slot] = modality
        self.loaders[slot] = SlotLoader(slot, modality=modality, options=loader_options)
        name = settings.pop("type", None) or self.loaders[slot].spec.transform
        self._types[slot] = name
        self.transforms[slot] = build_transform(slot, name, modality=modality, settings=settings)
        self.loaders[slot].hints = self.transforms[slot].loader_options()

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots."""
        return tuple(self.transforms)

    def __call__(
        self, sample: Sample, training: bool = False, *, slots: Iterable[str] | None = None
    ) -> dict[str, dict[str, Tensor]]:
        """Load and transform one sample.

        Args:
            sample: its values; a slot that is absent or None is missing.
            training: augment.
            slots: only these; None = all that the sample has.

        Returns:
            slot -> tensors without a batch dimension, for the slots that the sample has. A slot whose file holds
            nothing for it (MissingSlotError) is missing like one without a value.

        Raises:
            InputError: a slot that the processor does not have, or a value that cannot be read; names the sample, the
                slot and the file.
        """
        wanted = tuple(sample.values) if slots is None else tuple(slots)
        tensors = {}
        for slot in wanted:
            self.require(slot, what=f"Sample {sample.id!r}")
            if sample.values.get(slot) is not None:
                made = self._process(slot, sample, training)
                if made is not None:
                    tensors[slot] = made
        return tensors

    def _process(self, slot: str, sample: Sample, training: bool) -> dict[str, Tensor] | None:
        """None: the value holds nothing for the slot."""
        try:
            return self.process_value(slot, sample.values[slot], training=training)
        except MissingSlotError:
            return None
        except InputError as error:
            named = InputError(f"Sample {sample.id!r}: {error}")
            named.slot = slot
            raise named from error

    def process_value(self, slot: str, value: Any, *, training: bool = False) -> dict[str, Tensor]:
        """Load and transform one value of one slot; tensors without a batch dimension.

        Raises:
            InputError: names the slot and the file.
            MissingSlotError: the value is sound and holds nothing for this slot.
        """
        self.require(slot)
        loader = self.loaders[slot]
        raw = loader(value)
        changes = self._changes(slot) if training else ()
        try:
            for change in changes:
                raw = change.raw(raw)
            tensors = self.transforms[slot](raw, training=training)
            for change in changes:
                tensors = change.tensors(tensors)
            return tensors
        except InputError as error:
            source = f" ({str(value)!r})" if isinstance(value, (str, Path)) and str(value) not in str(error) else ""
            raise retold(error, f"Slot {slot!r}{source}: {error}") from error

    def _changes(self, slot: str) -> list[Augmentation]:
        if slot not in self._augmenters:
            settings = dict(modality=self.modalities[slot], transform=self.transforms[slot])
            self._augmenters[slot] = [build_augmentation(slot, item, **settings) for item in self.augmentations[slot]]
        return self._augmenters[slot]

    def deterministic(self, slot: str) -> bool:
        """Whether training makes no difference to a value of the slot."""
        return self.transforms[slot].deterministic and not self.augmentations[slot]

    def require(self, slot: str, *, what: str = "This processor") -> None:
        """Raise InputError with the slots that exist, unless ``slot`` is one of them."""
        if slot in self.transforms:
            return
        kinds = ", ".join(f"{name} ({self.modalities[name]})" for name in self.slots)
        raise InputError(
            f"{what}: unknown slot {slot!r}. Slots of this model: {kinds}.{did_you_mean(slot, self.slots)}"
        )

    def collate_slot(self, slot: str, items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors of the S samples that have the slot -> adapter inputs with S in front.

        Precomputed pooled features (``{"pooled_BD": (D,)}`` for each sample) are stacked as they are.
        """
        if POOLED_KEY in items[0]:
            return stack_pooled(slot, items)
        return self.transforms[slot].collate(list(items))

    def collate(self, items: Sequence[Item | tuple[Sample, dict[str, dict[str, Tensor]]]]) -> Batch:
        """A batch of processed samples; the collate function for data loaders.

        Args:
            items: (sample, tensors of its slots) pairs, or Items, which also carry index and views.

        Returns:
            Batch; ``inputs`` of a slot hold only the samples that have it, ``present`` names every slot.
        """
        items = [item if isinstance(item, Item) else Item(*item) for item in items]
        if not items:
            raise InputError("An empty list of samples cannot be collated.")
        for item in items:
            for slot in item.tensors:
                self.require(slot, what=f"Sample {item.sample.id!r}")
        indices, views = [item.index for item in items], {len(item.views) for item in items}
        if len(views) > 1:
            raise InputError(f"Samples of one batch have different numbers of views: {sorted(views)}.")
        return Batch(
            inputs=self._inputs([item.tensors for item in items]),
            present=presence([item.tensors for item in items], self.slots),
            ids=[item.sample.id for item in items],
            targets=collate_targets([item.sample for item in items]),
            meta=[item.sample.meta for item in items],
            indices_B=None if None in indices else torch.tensor(indices, dtype=torch.long),
            views=tuple(self._inputs([item.views[i] for item in items]) for i in range(views.pop())),
        )

    def _inputs(self, tensors: Sequence[Mapping[str, dict[str, Tensor]]]) -> dict[str, dict[str, Tensor]]:
        by_slot = {slot: [item[slot] for item in tensors if slot in item] for slot in self.slots}
        return {slot: self.collate_slot(slot, found) for slot, found in by_slot.items() if found}

    def select(self, slots: Iterable[str]) -> Processor:
        """A processor of some of the slots, sharing their loaders and transforms."""
        chosen = Processor({})
        for slot in slots:
            self.require(slot)
            for mine, theirs in zip(self._tables(), chosen._tables(), strict=True):
                theirs[slot] = mine[slot]
        return chosen

    def _tables(self) -> tuple[dict[str, Any], ...]:
        return self.modalities, self.loaders, self.transforms, self._types, self.augmentations

    def to_config(self, folder: Path | str | None = None) -> dict[str, dict[str, Any]]:
        """The JSON settings that rebuild this processor.

        Args:
            folder: files that transforms need (vocabularies) are written to ``folder/<slot>/``; None = write nothing.
        """
        config = {}
        for slot, transform in self.transforms.items():
            place = None if folder is None else Path(folder) / slot
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
            settings = {"modality": self.modalities[slot], "type": self._types[slot], **transform.to_config(place)}
            if self.loaders[slot].options:
                settings["loader"] = dict(self.loaders[slot].options)
            if self.augmentations[slot]:
                settings["augmentations"] = [dict(item) for item in self.augmentations[slot]]
            config[slot] = settings
            if place is not None and not any(place.iterdir()):
                place.rmdir()
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]], folder: Path | str | None = None) -> Processor:
        """The processor that ``to_config(folder)`` described; a setting that names a file or folder in
        ``folder/<slot>/`` comes back as its path."""
        if folder is None:
            return cls(config)
        return cls({slot: with_paths(settings, Path(folder) / slot) for slot, settings in config.items()})


def build_transform(slot: str, name: str, *, modality: str, settings: Mapping[str, Any]) -> Transform:
    """Build a transform of the catalog for a slot.

    Raises:
        ConfigError: it is of another modality, or an argument is unknown or wrong.
    """
    catalog = get_catalog()
    spec = catalog.get("transform", name).spec
    if spec.role == ROLE:
        raise ConfigError(
            f"Slot {slot!r}: {name!r} is an augmentation, no transform. Name it as augmentations=[dict(type={name!r})]."
        )
    if spec.modality != modality:
        kinds = [entry.spec for entry in catalog.entries("transform") if entry.spec.modality == modality]
        fitting = [kind.name for kind in kinds if kind.role != ROLE]
        raise ConfigError(
            f"Slot {slot!r} is of modality {modality!r}, but the transform {name!r} is for {spec.modality!r}. "
            f"Transforms for {modality}: {', '.join(fitting) or 'none'}."
        )
    factory = catalog.component("transform", name)
    check_arguments(factory, settings, what=f"Slot {slot!r}: the transform {name!r}")
    try:
        return factory(**settings)
    except OmniError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"Slot {slot!r}: the transform {name!r} cannot be built: {error}") from error


def with_paths(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings with the names of files and folders in ``folder`` made paths."""
    result = dict(settings)
    for key, value in settings.items():
        if key not in RESERVED and isinstance(value, str) and value and Path(value).name == value:
            if (folder / value).exists():
                result[key] = str(folder / value)
    return result
