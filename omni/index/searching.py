"""Searching an index: queries of values or embeddings in, named results out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from omni.errors import ConfigError, InputError, OmniError
from omni.index.collection import Collection, Hits
from omni.index.filters import Where, parse_where
from omni.index.model_probe import check_model
from omni.index.queries import Embeddings, check_queries, choose_targets, plan_searches
from omni.index.result import IndexResult
from omni.types import TrainedGroup

if TYPE_CHECKING:
    from omni.inference import OmniPredictor

Excluded = Mapping[str, Any] | Sequence[Mapping[str, Any]]
EXCLUDE_WEIGHT = 0.5


class Searches:
    """What of an index searches; ``Index`` holds the items."""

    slots: tuple[str, ...]
    width: int
    trained_groups: tuple[TrainedGroup, ...]
    missing: dict[str, Tensor]
    unit: bool
    model_path: str | None
    probe: tuple[float, ...]
    _model: OmniPredictor | None
    _items: Collection

    @property
    def model(self) -> OmniPredictor:
        """The model, loaded on first use from where it was when the index was made.

        Raises:
            OmniError: nobody knows where it is.
        """
        if self._model is None:
            from omni.inference import load

            if self.model_path is None:
                raise OmniError("This index does not know its model; open it with Index.open(folder, model=...).")
            loaded = load(self.model_path)
            check_model(self, loaded)
            self._model = loaded
        return self._model

    def search(
        self,
        *,
        k: int = 10,
        where: Where | Sequence[Where] | None = None,
        exclude: Excluded = (),
        exclude_weight: float = EXCLUDE_WEIGHT,
        target: str | Sequence[str] | None = None,
        calibrated: bool | None = None,
        exact: bool = False,
        **queries: Any,
    ) -> list[IndexResult] | list[list[IndexResult]]:
        """The k nearest items of a query of one or several slots, under the score the slots were trained with.

        Args:
            k: how many.
            where: only items whose metadata fit: a string of the filter language (``"year >= 2001"``), a dictionary
                field -> value, list of values or (low, high), or a list of these. See omni.index.filters.
            exclude: what results should not be like: slot -> value for one such query, or a list of several. The score
                is then z(query) - exclude_weight * (sum of z(excluded)), z as for ``calibrated``. An excluded query
                whose slots mean nothing alone takes the other slots of the query.
            target: the slot or slots of the items that are compared; None = all that mean something with the query. An
                item that several find counts once, by the best.
            calibrated: True = scores are z: standard deviations above the query's mean over the whole index, which can
                be compared between queries and slots. None = where several slots are compared.
            exact: compare every item, also in an approximate index.
            **queries: slot -> a value (one query), or a list of values (one query each; single values go with all).

        Returns:
            A list of results for one query; a list of such lists where a slot was given a list.

        Raises:
            OmniError: these slots were not trained together; names those that were.
            InputError: a value that cannot be read, lists of different lengths, a filter that cannot be read.
        """
        choose_targets(self, list(queries), target)  # before any model is loaded
        if where is not None:
            parse_where(where)
        unwanted = [exclude] if isinstance(exclude, Mapping) else list(exclude)
        found = self.search_embeddings(
            self.model.encode(progress=False, **queries),
            k=k,
            where=where,
            exclude=[self.model.encode(progress=False, **one) for one in unwanted],
            exclude_weight=exclude_weight,
            target=target,
            calibrated=calibrated,
            exact=exact,
        )
        many = any(isinstance(value, (list, tuple)) for value in queries.values())
        return found if many else found[0]

    def search_embeddings(
        self,
        queries: Embeddings,
        *,
        k: int = 10,
        where: Where | Sequence[Where] | None = None,
        exclude: Embeddings | Sequence[Embeddings] = (),
        exclude_weight: float = EXCLUDE_WEIGHT,
        target: str | Sequence[str] | None = None,
        calibrated: bool | None = None,
        exact: bool = False,
    ) -> list[list[IndexResult]]:
        """Like ``search``, from embeddings: slot -> (Q, E), or (1, E) for all queries; Q lists of results."""
        targets, hits = self._search(queries, k, where, exclude, exclude_weight, target, calibrated, exact)
        segments = self._items.segments
        found = []
        rows = (hits.scores_QK.tolist(), hits.segments_QK.tolist(), hits.items_QK.tolist(), hits.slots_QK.tolist())
        for scores, places, items, slots in zip(*rows, strict=True):
            results = []
            for score, place, item, slot in zip(scores, places, items, slots, strict=True):
                if item < 0:  # the filter left fewer than k
                    break
                name, metadata = segments[place].items.item(item)
                results.append(
                    IndexResult(id=name, score=score, rank=len(results) + 1, metadata=metadata, slot=targets[slot])
                )
            found.append(results)
        return found

    def search_rows(
        self,
        queries: Embeddings,
        *,
        k: int = 10,
        where: Where | Sequence[Where] | None = None,
        exclude: Embeddings | Sequence[Embeddings] = (),
        exclude_weight: float = EXCLUDE_WEIGHT,
        target: str | Sequence[str] | None = None,
        calibrated: bool | None = None,
        exact: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Like ``search_embeddings``: scores (Q, K) float32, -inf = nothing, and places in ``ids`` (Q, K) int64, -1."""
        _, hits = self._search(queries, k, where, exclude, exclude_weight, target, calibrated, exact)
        return hits.scores_QK, self._items.places_of(hits.segments_QK, hits.items_QK)

    def _search(
        self,
        queries: Embeddings,
        k: int,
        where: Where | Sequence[Where] | None,
        exclude: Embeddings | Sequence[Embeddings],
        exclude_weight: float,
        target: str | Sequence[str] | None,
        calibrated: bool | None,
        exact: bool,
    ) -> tuple[list[str], Hits]:
        if k < 1:
            raise ConfigError(f"k={k}: ask for at least one result.")
        if not np.isfinite(exclude_weight) or exclude_weight < 0:
            raise ConfigError(f"exclude_weight={exclude_weight}: it must be 0 or more.")
        items = self._items
        if not items.count:
            raise InputError("The index is empty; add something first.")
        unwanted = [exclude] if isinstance(exclude, Mapping) else list(exclude)
        check_queries(queries, self.width)
        for one in unwanted:
            check_queries(one, self.width)
        targets = choose_targets(self, list(queries), target)
        several = len(targets) > 1
        if several and calibrated is False:
            raise ConfigError(
                f"Scores of different slots ({', '.join(targets)}) cannot be compared unless they are calibrated; name "
                "one target, or leave calibrated=False out."
            )
        plans = plan_searches(
            self,
            queries,
            targets=targets,
            exclude=unwanted,
            exclude_weight=exclude_weight,
            calibrated=several if calibrated is None else calibrated,
            moments=items.moments,
        )
        hits = items.search(plans, k, items.allowed(where), unit=self.unit, exact=exact)
        return targets, hits
