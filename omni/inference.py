"""Using a model: ``omni.load(...)`` and what it returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from omni.core.model import OmniModel
from omni.data.processor import Processor
from omni.encoding import as_values, encode_values, prepare_batches
from omni.errors import ConfigError, InputError, OmniError
from omni.model_folder import ModelFolder, load_model_folder, save_model_folder
from omni.predicting import TaskMethods
from omni.progress import Progress, show_progress
from omni.scoring import SUMS, Score, find_score, score_all
from omni.types import TrainedGroup
from omni.zoo import resolve_model

if TYPE_CHECKING:
    from omni.index import Index

__all__ = ["ModelFolder", "OmniPredictor", "load", "load_model_folder", "save_model_folder"]


def load(
    name_or_path: str | Path,
    *,
    slots: Iterable[str] | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> OmniPredictor:
    """Load a model with its preprocessing, ready to use.

    Args:
        name_or_path: a zoo name (``omni zoo list``) or a model folder.
        slots: load only the parts that these slots need; None = all.
        device: None = "cuda" if there is one, else "cpu".
        dtype: "float32" (default), "bf16", "fp16", or a torch dtype. Embeddings are float32 in every case.

    Raises:
        UnknownComponentError: no such model, or a plugin that it needs is not installed.
        WeightsError: files are missing or damaged, or have no part for a slot.
        ConfigError: an unknown dtype or device.
    """
    place = resolve_device(device)
    found = resolve_model(name_or_path)
    folder = load_model_folder(found.folder, slots=slots, device=place, dtype=dtype, sha256=found.sha256)
    return OmniPredictor(folder.model, folder.processor, path=folder.path, info=folder.info)


def resolve_device(device: str | torch.device | None) -> torch.device:
    """The torch device; None = the first GPU if there is one, else the CPU.

    Raises:
        ConfigError: unknown, or not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from error
    return place


class OmniPredictor(TaskMethods):
    """A model with its processor.

    Args:
        model: put into eval mode.
        processor: of at least the model's slots.
        path: the folder it came from, remembered by indexes.
        info: what is known about it.
    """

    def __init__(
        self,
        model: OmniModel,
        processor: Processor,
        *,
        path: Path | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.path = path
        self.info = dict(info or {})

    @property
    def slots(self) -> dict[str, str]:
        """slot -> modality."""
        return dict(self.model.slots)

    @property
    def trained_groups(self) -> tuple[TrainedGroup, ...]:
        """Sets of slots that mean something together, and their scores."""
        return tuple(self.model.trained_groups)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's weights."""
        return next(parameter.dtype for parameter in self.model.parameters())

    @torch.inference_mode()
    def missing_embeddings(self) -> dict[str, Tensor]:
        """slot -> (E,) float32: what stands in where the slot is missing, for the slots that learnt it."""
        present = torch.zeros(1, dtype=torch.bool, device=self.device)
        nothing = torch.zeros(0, self.model.config.embedding_width, device=self.device, dtype=self.dtype)
        return {slot: self.model.fill_missing(slot, nothing, present)[0].float().cpu() for slot in self.model.missing}

    def encode(
        self,
        *,
        batch_size: int = 32,
        progress: Progress = None,
        allow_missing: bool = False,
        num_workers: int | None = None,
        **slots: Any,
    ) -> dict[str, Tensor]:
        """Embed each slot's values, each value alone.

        Args:
            batch_size: values at a time through the model.
            progress: None = a bar on a terminal; True, False, or ``function(done, total)``.
            allow_missing: let lists hold None; their rows are NaN, so that they cannot be taken for embeddings.
            num_workers: threads that load and transform; None = as many as help.
            **slots: slot -> a list of values (paths, bytes, in-memory objects, strings where the modality is text), or
                one value, which is a batch of one.

        Returns:
            slot -> (B, E) float32 on the CPU, normalised as the model was trained.

        Raises:
            InputError: an unknown slot, a value that cannot be read (names slot, position and file), or a None.
        """
        values = self._values(slots)
        total = sum(len(items) for items in values.values())
        with show_progress("encode", total, progress) as advance:
            return {
                slot: encode_values(
                    self.model,
                    self.processor,
                    slot,
                    items,
                    batch_size=batch_size,
                    allow_missing=allow_missing,
                    num_workers=num_workers,
                    advance=advance,
                )
                for slot, items in values.items()
            }

    @torch.inference_mode()
    def encode_joint(self, *, batch_size: int = 32, progress: Progress = None, **slots: Any) -> Tensor:
        """Embed samples of several slots that attend to each other.

        Args:
            **slots: slot -> a list of B values, or one value; None in a list = that sample lacks the slot.

        Returns:
            (B, E) float32 on the CPU.

        Raises:
            OmniError: no fused objective trained this model.
            InputError: lists of different lengths, or a sample without any slot.
        """
        if not self.model.config.joint:
            raise OmniError(
                "This model was trained without a fused objective, so it has no joint embedding. Use encode(...) and "
                "similarity(...), or train a model with joint=True and an objective over fused slots."
            )
        values = self._values(slots)
        lengths = {slot: len(items) for slot, items in values.items()}
        if len(set(lengths.values())) != 1:
            told = ", ".join(f"{slot} {count}" for slot, count in lengths.items())
            raise InputError(f"encode_joint takes one value a slot for each sample, but the lists differ: {told}.")
        rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
        made = []
        with show_progress("encode", len(rows), progress) as advance:
            for batch in prepare_batches(self.processor, rows, batch_size=batch_size, device=self.device):
                inputs = batch.cast(self.device, self.dtype)
                present = {slot: batch.present[slot].to(self.device) for slot in inputs}
                made.append(self.model.encode_joint(inputs, present=present).float().cpu())
                advance(len(made[-1]))
        return torch.cat(made) if made else torch.zeros(0, self.model.config.embedding_width)

    def score(self, slots: Iterable[str], *, target: str | None = None) -> Score:
        """The score under which these slots mean something together.

        Raises:
            OmniError: they do not; names the groups that do.
        """
        return find_score(slots, groups=self.trained_groups, missing=self.model.missing, target=target)

    def similarity(
        self, first: Mapping[str, Tensor] | None = None, second: Mapping[str, Tensor] | None = None, **slots: Any
    ) -> Tensor:
        """Scores of every combination, under the score that the slots were trained with (without its learnt scale).

        Either of raw values, ``similarity(left=[...], right=[...], third=[...])``, or of embeddings,
        ``similarity(model.encode(left=..., third=...), model.encode(right=...))``.

        Args:
            first, second: slot -> (B, E) embeddings, as ``encode`` returns them; the slots must differ.
            **slots: slot -> values.

        Returns:
            (B1, ..., Bn) float32, one axis a slot, in the order given.

        Raises:
            OmniError: the slots were not trained together (names the groups that were).
            InputError: bare tensors, whose slots cannot be known.
        """
        embeddings: dict[str, Tensor] = {}
        for given in (first, second):
            if given is None:
                continue
            if not isinstance(given, Mapping):
                raise InputError(
                    "similarity takes embeddings as encode(...) returns them, slot -> (B, E): which score means "
                    "something depends on the slots, and a bare tensor does not say its own."
                )
            for slot, value in given.items():
                self.processor.require(slot, what="This model")
                if slot in embeddings:
                    raise InputError(f"The slot {slot!r} was given twice; a score is between different slots.")
                embeddings[slot] = value
        names = [*embeddings, *slots]
        score = self.score(names, target=names[-1] if names else None)
        embeddings |= self.encode(**slots) if slots else {}
        if score.kind in SUMS.values():
            raise OmniError(
                f"The slots {', '.join(names)} were trained in pairs, not as one group; their scores add up only "
                f"towards one searched slot: use index(...) and search(...), or similarity of two slots at a time."
            )
        return score_all(score, embeddings, self.missing_embeddings())

    def index(
        self,
        *,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        kind: str = "auto",
        batch_size: int = 32,
        progress: Progress = None,
        **slots: Any,
    ) -> Index:
        """Embed the values of one slot, or of several slots of the same items, into an index for search.

        Args:
            ids: a name for each item; default: the file's path (of the first slot), or the position.
            metadata: JSON values for each.
            kind: "flat", "hnsw", "ivfpq", or "auto": by size, when the index is saved.
            **slots: slot -> its values; of several slots lists of one length, in which None = the item lacks the slot.

        Raises:
            InputError: lists, ids or metadata of different lengths; ids that repeat; an item without any slot.
        """
        from omni.index import Index, default_ids

        given = self._values(slots)
        lengths = {slot: len(values) for slot, values in given.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{slot} {count}" for slot, count in lengths.items())
            raise InputError(f"An index holds items of one value a slot, but the lists differ in length: {told}.")
        several = len(given) > 1
        first = next(iter(given.values()))
        names = list(ids) if ids is not None else default_ids(first)
        built = Index.empty(self, slots=tuple(given), kind=kind)
        built.check_new(names, metadata, count=len(first))
        embedded = self.encode(batch_size=batch_size, progress=progress, allow_missing=several, **given)
        built.add(embedded if several else next(iter(embedded.values())), ids=names, metadata=metadata)
        return built

    def save(self, folder: str | Path, *, info: Mapping[str, Any] | None = None, dtype: str | None = None) -> Path:
        """Write a folder that ``omni.load`` takes. See ``save_model_folder``."""
        return save_model_folder(folder, self.model, self.processor, info=self.info | dict(info or {}), dtype=dtype)

    def _values(self, slots: Mapping[str, Any]) -> dict[str, list[Any]]:
        if not slots:
            raise InputError(f"No input was given; name it by its slot: {', '.join(f'{s}=...' for s in self.slots)}.")
        for slot in slots:
            self.processor.require(slot, what="This model")
        return {slot: as_values(value) for slot, value in slots.items()}

    def __repr__(self) -> str:
        slots = ", ".join(f"{slot} ({kind})" for slot, kind in self.slots.items())
        return f"OmniPredictor({slots}; E={self.model.config.embedding_width}, {self.device}, {self.dtype})"
