"""A searchable index of embeddings of one or several slots, with names and metadata, on faiss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from omni import __version__
from omni.errors import ConfigError, InputError
from omni.index.adding import check_names, make_segment
from omni.index.ann import AUTO, check_kind, choose_kind
from omni.index.collection import Collection
from omni.index.filters import Where
from omni.index.model_probe import check_model, probe_weights
from omni.index.searching import Searches
from omni.index.store import Store
from omni.progress import Progress
from omni.types import TrainedGroup

if TYPE_CHECKING:
    from omni.inference import OmniPredictor


class Index(Searches):
    """Items, each with an embedding of one or several slots. Made by ``model.index(...)`` or ``Index.open(folder)``.

    In memory, changes are kept by ``save``. An index that was opened with ``write=True`` or made by ``Index.create``
    is on disk: each ``add``, ``delete`` and ``compact`` is there when it returns, as a whole or not at all.

    Args:
        slot: the one slot whose embeddings it holds; or
        slots: several.
        width: E.
        trained_groups: of the model that made them: they say which searches mean something.
        missing: slot -> (E,) learnt missing embedding, for queries that lack a trained slot.
        unit: True if the model's embeddings have unit length.
        kind: "flat", "hnsw", "ivfpq", or "auto": by size, when the index is saved or compacted.
        model: to embed queries with.
        model_path: the model's folder, remembered to load the model when a query needs it.
        probe: a few of the model's numbers, by which another model is told.
    """

    def __init__(
        self,
        *,
        slot: str | None = None,
        slots: Sequence[str] = (),
        width: int,
        trained_groups: Sequence[TrainedGroup] = (),
        missing: Mapping[str, Tensor] | None = None,
        unit: bool = False,
        kind: str = AUTO,
        model: OmniPredictor | None = None,
        model_path: str | None = None,
        probe: Sequence[float] = (),
    ) -> None:
        self.slots = tuple(slots) or ((slot,) if slot else ())
        if not self.slots or (slot and self.slots[0] != slot) or len(set(self.slots)) < len(self.slots):
            raise ConfigError(f"An index needs one slot, or several different ones; got {slot!r} and {list(slots)}.")
        self.width = width
        self.trained_groups = tuple(trained_groups)
        self.missing = dict(missing or {})
        self.unit = unit
        self.kind = check_kind(kind)
        self.model_path = model_path
        self.probe = tuple(probe)
        self._model = model
        self._items = Collection([], [], slots=self.slots, width=width)
        self._store: Store | None = None
        self._state: str | None = None  # of the folder that the items are of; None = not of a folder

    @classmethod
    def empty(
        cls, model: OmniPredictor, *, slot: str | None = None, slots: Sequence[str] = (), kind: str = AUTO
    ) -> Index:
        """An index without items, in memory, for slots of a model."""
        return cls(
            slot=slot,
            slots=slots,
            width=model.model.config.embedding_width,
            trained_groups=model.trained_groups,
            missing=model.missing_embeddings(),
            unit=model.model.config.embedding_norm == "l2",
            kind=kind,
            model=model,
            model_path=None if model.path is None else str(Path(model.path).resolve()),
            probe=probe_weights(model),
        )

    # ---- on disk

    @classmethod
    def create(
        cls,
        folder: str | Path,
        model: OmniPredictor,
        *,
        slot: str | None = None,
        slots: Sequence[str] = (),
        kind: str = AUTO,
    ) -> Index:
        """A new index on disk, open for writing.

        Raises:
            InputError: an index is there already, or something else. OmniError: another process writes there.
        """
        made = cls.empty(model, slot=slot, slots=slots, kind=kind)
        made._begin(Store(folder), new=True)
        return made

    @classmethod
    def open(cls, folder: str | Path, *, write: bool = False, model: OmniPredictor | None = None) -> Index:
        """Open an index on disk, mapped into memory.

        Args:
            write: True = be its one writer until ``close``; False = see the state of now, whatever a writer does.
            model: to embed queries with; None = the model at the place remembered, loaded when a query needs it.

        Raises:
            InputError: no index there, or one of a later omni. WeightsError: damaged. ConfigError: a model that did not
            make it. OmniError: another process writes it.
        """
        store = Store(folder)
        store.read()
        if write:
            store.lock()
        try:
            about, segments, deleted = store.open()
            made = cls._from_manifest(about, model)
            made._items = Collection(segments, deleted, slots=made.slots, width=made.width)
            made._store, made._state = store, about.get("state")
            if model is not None:
                check_model(made, model)
            if write:
                store.collect(about)
        except BaseException:
            store.unlock()
            raise
        return made

    @classmethod
    def load(cls, folder: str | Path, *, model: OmniPredictor | None = None) -> Index:
        """``open`` for reading; what is changed then is in memory only, until ``save``."""
        return cls.open(folder, model=model)

    @property
    def writing(self) -> bool:
        """True if changes go to disk at once."""
        return self._store is not None and self._store.writing

    def save(self, folder: str | Path, *, progress: Progress = None) -> Path:
        """Write the index to a folder, as a whole or not at all; an older index there is replaced.

        Raises:
            InputError: the folder holds something else, or cannot be written. OmniError: another process writes it.
        """
        store = Store(folder)
        store.check_free()
        if self.writing and self._store is not None and store.folder.resolve() == self._store.folder.resolve():
            self.compact(progress=progress)
            return store.folder
        existed = store.folder.exists()
        store.lock()
        try:
            whole = self._items.compacted(self.kind, progress=progress)
            store.commit(self._about(), whole.segments, whole.deleted, self.slots)
        finally:
            store.unlock()
            if not existed and not store.exists():
                store.discard()
        return store.folder

    def refresh(self) -> bool:
        """See what writers have done since the index was opened; False if nothing.

        Raises:
            InputError: it is not of a folder, or it has changes that were not saved.
        """
        if self._store is None:
            raise InputError("This index is in memory; only one that was opened from a folder can be refreshed.")
        if self.writing or self._store.read().get("state") == self._state:
            return False
        if self._state is None:
            raise InputError("This index has changes that are in memory only; save it elsewhere, or open it again.")
        about, segments, deleted = self._store.open({segment.name: segment for segment in self._items.segments})
        made = self._from_manifest(about, self._model)
        if (made.slots, made.width, made.probe) != (self.slots, self.width, self.probe):
            raise InputError("Another index has taken this one's place in its folder; open it again.")
        self._items = Collection(segments, deleted, slots=self.slots, width=self.width)
        self._state, self.kind = about.get("state"), made.kind
        return True

    def verify(self) -> list[str]:
        """Files of the index on disk whose content is not what was written; empty = all is well. Reads everything."""
        return [] if self._store is None else self._store.verify()

    def close(self) -> None:
        """Let others write; the index stays open for reading."""
        if self._store is not None:
            self._store.unlock()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def _from_manifest(cls, about: Mapping[str, Any], model: OmniPredictor | None) -> Index:
        return cls(
            slots=about["slots"] if about["format"] > 1 else [about["slot"]],
            width=about["width"],
            trained_groups=[TrainedGroup.from_dict(group) for group in about["trained_groups"]],
            missing={slot: torch.tensor(value) for slot, value in about["missing"].items()},
            unit=about["unit"],
            kind=about.get("kind", AUTO),
            model=model,
            model_path=about["model"],
            probe=about["probe"],
        )

    def _begin(self, store: Store, *, new: bool) -> None:
        store.check_free()
        if new and store.exists():
            raise InputError(f"There is an index in {str(store.folder)!r} already; open it, or name another folder.")
        store.lock()
        try:
            self._state = store.commit(self._about(), [], [], self.slots)["state"]
        except BaseException:
            store.unlock()
            raise
        self._store = store

    def _publish(self, items: Collection) -> None:
        """Make these the items; on disk first, if this is the writer."""
        if self.writing and self._store is not None:
            self._state = self._store.commit(self._about(), items.segments, items.deleted, self.slots)["state"]
        else:
            self._state = None
        self._items = items

    def _about(self) -> dict[str, Any]:
        return {
            "omni": __version__,
            "slots": list(self.slots),
            "width": self.width,
            "unit": self.unit,
            "kind": self.kind,
            "trained_groups": [group.to_dict() for group in self.trained_groups],
            "missing": {slot: value.tolist() for slot, value in self.missing.items()},
            "model": self.model_path,
            "probe": list(self.probe),
        }

    # ---- items

    def __len__(self) -> int:
        return self._items.count

    def __contains__(self, name: object) -> bool:
        return name in self._items.positions

    @property
    def slot(self) -> str:
        """The first slot."""
        return self.slots[0]

    @property
    def ids(self) -> list[str]:
        """Names, in the order of adding."""
        return self._items.live("ids")

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """Metadata, in the order of adding."""
        return self._items.live("metadata")

    def embeddings(self, slot: str | None = None) -> Tensor:
        """(N, E) float32: what was added of a slot (the first by default); NaN where an item lacks it."""
        return torch.from_numpy(self._items.vectors(slot or self.slot))

    def describe(self) -> str:
        """Size, kind and state in words."""
        kinds = {
            f"{slot} {held.approximate.kind if held.approximate else 'flat'} ({len(held):,} x {self.width})"
            for segment in self._items.segments
            for slot, held in segment.slots.items()
        }
        return (
            f"{len(self):,} items of {', '.join(self.slots)}; {self.choice()}; {len(self._items.segments)} segments: "
            f"{'; '.join(sorted(kinds)) or 'none'}; {self._items.gone:,} deleted items take space until compacted"
        )

    def choice(self) -> str:
        """The kind that saving or compacting gives the index, and why."""
        chosen = choose_kind(len(self), self.width, self.kind if len(self) else AUTO)
        return f"{chosen.kind} ({chosen.reason})"

    def add(
        self,
        embeddings: Tensor | np.ndarray | Mapping[str, Tensor | np.ndarray],
        *,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        replace: bool = False,
    ) -> None:
        """Add items.

        Args:
            embeddings: (N, E), as the model's ``encode`` gives them; of several slots slot -> (N, E), where a row of
                NaN means that the item lacks the slot.
            ids: N names; default: running numbers.
            metadata: N dictionaries of JSON values.
            replace: items of these names that are there already are replaced, in one step.

        Raises:
            InputError: another width, rows that are not finite, names that are there already, or metadata that is not
                JSON.
        """
        segment, replaced = make_segment(self, embeddings, ids=ids, metadata=metadata, replace=replace)
        if len(segment):
            self._publish(self._items.added(segment, replaced=replaced))

    def check_new(self, names: Sequence[str], metadata: Sequence[Any] | None, *, count: int) -> None:
        """Raise InputError unless there is one new, unrepeated name and one metadata each."""
        check_names(self, names, metadata, count=count)

    def delete(self, ids: str | Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Delete items by name, or all that fit a filter; how many. Their space is freed by ``compact``.

        Raises:
            InputError: a name that is not there, or a filter that cannot be read.
        """
        if (ids is None) == (where is None):
            raise InputError("Say what to delete: either ids or where.")
        if where is not None:
            allowed = self._items.allowed(where)
            pairs = zip(self._items.segments, allowed, strict=True)
            names = [s.items.ids[row] for s, mask in pairs if mask is not None for row in np.flatnonzero(mask)]
        else:
            names = list(dict.fromkeys([ids] if isinstance(ids, str) else ids or ()))
        if names:
            self._publish(self._items.without(names))
        return len(names)

    def compact(self, *, kind: str | None = None, progress: Progress = None) -> None:
        """Put everything in one segment without deleted items, and build the structure of the index's kind.

        Args:
            kind: from now on; None = as before.

        Raises:
            ConfigError: an unknown kind, or too few items for it.
        """
        before, self.kind = self.kind, self.kind if kind is None else check_kind(kind)
        try:
            self._publish(self._items.compacted(self.kind, progress=progress))
        except BaseException:
            self.kind = before
            raise
