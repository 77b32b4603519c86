"""A searchable index of one slot's embeddings, with names and metadata, on faiss."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import torch
from torch import Tensor

from omni import __version__
from omni.errors import ConfigError, InputError, OmniError, WeightsError
from omni.model_folder import replace_folder
from omni.scoring import COSINE, QueryVectors, Score, find_score, query_vectors
from omni.types import TrainedGroup

if TYPE_CHECKING:
    from omni.inference import OmniPredictor

VECTORS, ITEMS, ABOUT = "vectors.faiss", "items.jsonl", "index.json"
FORMAT = 1
PROBED, PROBE_TOLERANCE = 4, 0.02  # values of each shared parameter; wider than any rounding to half precision


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    """One thing found: its name, score (larger is nearer), metadata, and rank from 1."""

    id: str
    score: float
    rank: int
    metadata: dict[str, Any] = field(default_factory=dict)


class Index:
    """Embeddings of one slot. Made by ``model.index(...)`` or ``Index.load(folder)``.

    Args:
        slot: whose embeddings it holds.
        width: E.
        trained_groups: of the model that made them: they say which searches mean something.
        missing: slot -> (E,) learnt missing embedding, for queries that lack a trained slot.
        unit: True if the model's embeddings have unit length.
        model: to embed queries with.
        model_path: the model's folder, remembered to load the model when a query needs it.
        probe: a few of the model's numbers, by which another model is told.
    """

    def __init__(
        self,
        *,
        slot: str,
        width: int,
        trained_groups: Sequence[TrainedGroup] = (),
        missing: Mapping[str, Tensor] | None = None,
        unit: bool = False,
        model: OmniPredictor | None = None,
        model_path: str | None = None,
        probe: Sequence[float] = (),
    ) -> None:
        self.slot = slot
        self.width = width
        self.trained_groups = tuple(trained_groups)
        self.missing = dict(missing or {})
        self.unit = unit
        self.model_path = model_path
        self.probe = tuple(probe)
        self.ids: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self._model = model
        self._positions: dict[str, int] = {}
        self._vectors = faiss.IndexFlatIP(width)
        self._unit_vectors: Any = None

    @classmethod
    def empty(cls, model: OmniPredictor, *, slot: str) -> Index:
        """An index without items for one slot of a model."""
        return cls(
            slot=slot,
            width=model.model.config.embedding_width,
            trained_groups=model.trained_groups,
            missing=model.missing_embeddings(),
            unit=model.model.config.embedding_norm == "l2",
            model=model,
            model_path=None if model.path is None else str(Path(model.path).resolve()),
            probe=probe_weights(model),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def add(
        self,
        embeddings_NE: Tensor | np.ndarray,
        *,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Add embeddings of the index's slot.

        Args:
            embeddings_NE: (N, E), as the model's ``encode`` gives them.
            ids: N names; default: running numbers.
            metadata: N dictionaries of JSON values.

        Raises:
            InputError: another width, rows that are not finite, or names that are already there.
        """
        vectors = np.ascontiguousarray(torch.as_tensor(embeddings_NE).detach().float().cpu().numpy())
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise InputError(f"The index holds embeddings of width {self.width}; got the shape {vectors.shape}.")
        bad = np.flatnonzero(~np.isfinite(vectors).all(1))
        if len(bad):
            raise InputError(f"Row {bad[0]} is not finite ({len(bad)} such rows): missing values cannot be indexed.")
        names = [str(len(self) + row) for row in range(len(vectors))] if ids is None else [str(name) for name in ids]
        self.check_new(names, metadata, count=len(vectors))
        self._vectors.add(vectors)
        self._unit_vectors = None
        self._positions.update({name: len(self.ids) + row for row, name in enumerate(names)})
        self.ids += names
        self.metadata += [dict(item) for item in metadata] if metadata is not None else [{} for _ in names]

    def check_new(self, names: Sequence[str], metadata: Sequence[Any] | None, *, count: int) -> None:
        """Raise InputError unless there is one new, unrepeated name and one metadata each."""
        for what, values in (("ids", names), ("metadata", metadata)):
            if values is not None and len(values) != count:
                raise InputError(f"{len(values)} {what} for {count} values; give one each.")
        seen = set(self._positions)
        for name in names:
            if name in seen:
                raise InputError(f"The id {name!r} is there twice; ids of an index must differ.")
            seen.add(name)

    def embeddings(self) -> Tensor:
        """(N, E) float32: what was added."""
        return torch.from_numpy(self._vectors.reconstruct_n(0, len(self))) if len(self) else torch.zeros(0, self.width)

    @property
    def model(self) -> OmniPredictor:
        """The model, loaded on first use from where it was when the index was made.

        Raises:
            OmniError: nobody knows where it is.
        """
        if self._model is None:
            from omni.inference import load

            if self.model_path is None:
                raise OmniError("This index does not know its model; open it with Index.load(folder, model=...).")
            self._model = load(self.model_path)
            _check_model(self, self._model)
        return self._model

    def search(self, *, k: int = 10, **queries: Any) -> list[IndexResult] | list[list[IndexResult]]:
        """The k nearest items of a query of one or several slots, under the score the slots were trained with.

        Args:
            k: how many.
            **queries: slot -> a value (one query), or a list of values (one query each; single values go with all).

        Returns:
            A list of results for one query; a list of such lists where a slot was given a list.

        Raises:
            OmniError: these slots were not trained together; names those that were.
            InputError: a value that cannot be read, lists of different lengths.
        """
        self._score(list(queries))  # before any model is loaded
        found = self.search_embeddings(self.model.encode(progress=False, **queries), k=k)
        many = any(isinstance(value, (list, tuple)) for value in queries.values())
        return found if many else found[0]

    def search_embeddings(self, queries: Mapping[str, Tensor], *, k: int = 10) -> list[list[IndexResult]]:
        """Like ``search``, from embeddings: slot -> (Q, E), or (1, E) for all queries; Q lists of results."""
        scores_QK, rows_QK = self.search_rows(queries, k=k)
        ids, metadata = self.ids, self.metadata
        return [
            [
                IndexResult(id=ids[row], score=value, rank=rank, metadata=metadata[row])
                for rank, (value, row) in enumerate(zip(values, rows, strict=True), 1)
            ]
            for values, rows in zip(scores_QK.tolist(), rows_QK.tolist(), strict=True)
        ]

    def search_rows(self, queries: Mapping[str, Tensor], *, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Scores (Q, K) float32 and row numbers (Q, K) int64 of the nearest items, K = min(k, N)."""
        if k < 1:
            raise ConfigError(f"k={k}: ask for at least one result.")
        if not len(self):
            raise InputError("The index is empty; add something first.")
        self._check_queries(queries)
        made: QueryVectors = query_vectors(self._score(list(queries)), queries, self.missing)
        vectors = made.vectors_QE.numpy(force=True)
        if not np.isfinite(vectors).all():
            raise InputError("A query's embedding is not finite: a missing value cannot be searched with.")
        scores, rows = self._faiss(made.unit).search(np.ascontiguousarray(vectors), min(k, len(self)))
        return scores + made.constant_Q.numpy(force=True)[:, None], rows

    def _check_queries(self, queries: Mapping[str, Tensor]) -> None:
        lengths = {}
        for slot, value in queries.items():
            if value.ndim != 2 or value.shape[1] != self.width:
                raise InputError(f"Embeddings of {slot!r} have the shape {tuple(value.shape)}, not (Q, {self.width}).")
            lengths[slot] = len(value)
        if len(set(lengths.values()) - {1}) > 1:
            told = ", ".join(f"{slot} {count}" for slot, count in lengths.items())
            raise InputError(f"The queries' lists differ in length: {told}. Give one value each, or one for all.")

    def _score(self, slots: list[str]) -> Score:
        if not slots:
            raise InputError("A search needs a query: name at least one slot.")
        if self.slot in slots:
            if len(slots) > 1:
                raise InputError(f"The index holds {self.slot!r} itself; search it with other slots, or with it alone.")
            return Score(kind=COSINE, slots=(self.slot,))  # neighbours of its own kind
        return find_score([*slots, self.slot], groups=self.trained_groups, missing=self.missing, target=self.slot)

    def _faiss(self, unit: bool) -> Any:
        """The faiss index, of unit vectors if the score needs them and the model's are not."""
        if not unit or self.unit:
            return self._vectors
        if self._unit_vectors is None:
            self._unit_vectors = faiss.IndexFlatIP(self.width)
            self._unit_vectors.add(torch.nn.functional.normalize(self.embeddings(), dim=-1).numpy())
        return self._unit_vectors

    def save(self, folder: str | Path) -> Path:
        """Write the index to a folder, as a whole or not at all; an older index there is replaced.

        Raises:
            InputError: the folder holds something else, or metadata that is not JSON.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / ABOUT).is_file() and (folder.is_file() or any(folder.iterdir())):
            raise InputError(f"{str(folder)!r} holds something that is no index; name another folder.")
        temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            temporary.mkdir(parents=True)
            faiss.write_index(self._vectors, str(temporary / VECTORS))
            with (temporary / ITEMS).open("w", encoding="utf-8") as file:
                for name, item in zip(self.ids, self.metadata, strict=True):
                    file.write(json.dumps({"id": name, "metadata": item}, ensure_ascii=False) + "\n")
            (temporary / ABOUT).write_text(json.dumps(self._about(), indent=1), encoding="utf-8")
            replace_folder(temporary, folder)
        except TypeError as error:
            raise InputError(f"The index's metadata must be plain JSON values: {error}") from error
        except OSError as error:
            raise InputError(f"The index cannot be written to {str(folder)!r}: {error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def _about(self) -> dict[str, Any]:
        return {
            "omni": __version__,
            "format": FORMAT,
            "slot": self.slot,
            "width": self.width,
            "count": len(self),
            "unit": self.unit,
            "trained_groups": [group.to_dict() for group in self.trained_groups],
            "missing": {slot: value.tolist() for slot, value in self.missing.items()},
            "model": self.model_path,
            "probe": list(self.probe),
        }

    @classmethod
    def load(cls, folder: str | Path, *, model: OmniPredictor | None = None) -> Index:
        """Open a saved index.

        Args:
            model: to embed queries with; None = the model at the place remembered, loaded when a query needs it.

        Raises:
            InputError: no index there. WeightsError: damaged. ConfigError: a model that did not make it.
        """
        folder = Path(folder)
        if not (folder / ABOUT).is_file():
            raise InputError(f"{str(folder)!r} is no index: it has no {ABOUT}.")
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            items = [json.loads(line) for line in (folder / ITEMS).read_text(encoding="utf-8").split("\n") if line]
            vectors = faiss.read_index(str(folder / VECTORS))
            made = cls(
                slot=about["slot"],
                width=about["width"],
                trained_groups=[TrainedGroup.from_dict(group) for group in about["trained_groups"]],
                missing={slot: torch.tensor(value) for slot, value in about["missing"].items()},
                unit=about["unit"],
                model=model,
                model_path=about["model"],
                probe=about["probe"],
            )
            made.ids = [item["id"] for item in items]
            made.metadata = [item["metadata"] for item in items]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise WeightsError(f"The index in {str(folder)!r} is damaged: {type(error).__name__}: {error}") from error
        if not vectors.ntotal == len(items) == about["count"] or vectors.d != made.width:
            raise WeightsError(
                f"The index in {str(folder)!r} is damaged: {vectors.ntotal} vectors of width {vectors.d}, {len(items)} "
                f"items, and {about['count']} of width {made.width} expected."
            )
        made._vectors = vectors
        made._positions = {name: row for row, name in enumerate(made.ids)}
        if model is not None:
            _check_model(made, model)
        return made


def default_ids(values: Sequence[Any]) -> list[str]:
    """Paths and short strings as names where they differ; else positions."""
    names = [str(value) for value in values if isinstance(value, (str, Path))]
    return names if len(set(names)) == len(values) else [str(position) for position in range(len(values))]


def probe_weights(model: OmniPredictor) -> list[float]:
    """A few numbers of the parts that every slot uses, in the order of their names."""
    own = set(model.model.config.modalities)
    shared = [(n, p) for n, p in sorted(model.model.core.named_parameters()) if own.isdisjoint(n.split("."))]
    return [value for _, parameter in shared for value in parameter.detach().flatten()[:PROBED].float().tolist()]


def _check_model(index: Index, model: OmniPredictor) -> None:
    """Raise ConfigError for a model that did not make the index: its scores would be numbers without meaning."""
    config, probe = model.model.config, np.asarray(probe_weights(model))
    expected = np.asarray(index.probe)
    width = "" if config.embedding_width == index.width else f", its embeddings have width {config.embedding_width}"
    alike = probe.shape == expected.shape and np.allclose(probe, expected, rtol=PROBE_TOLERANCE, atol=1e-3)
    if width or (len(expected) and not alike):
        raise ConfigError(
            f"This model did not make the index of {index.slot!r} (width {index.width}): its weights differ{width}. "
            "Give the model that made it, or make the index again."
        )
