"""What both transforms share: states of a frozen encoder, kept on disk where that is asked for, and collated."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omni.data.transform import Transform
from omni.errors import ConfigError, InputError
from omni.zoo import omni_home
from omni_plugin_towers.packages import Identity, Source, require_identity

WIDTH = 384  # of both encoders


class StateStore:
    """States (L, 384) in half precision by content, in one SQLite file; several processes may use it at once.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, sqlite3.Connection] | None = None

    def get(self, key: bytes) -> np.ndarray | None:
        """float16 (L, 384), or None.

        Raises:
            InputError: the file is damaged.
        """
        row = self._do("SELECT states FROM states WHERE key = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float16).reshape(-1, WIDTH)

    def put(self, key: bytes, states_LC: np.ndarray) -> None:
        """Keep states; raises InputError if the file is damaged or cannot be written."""
        self._do("INSERT OR REPLACE INTO states VALUES (?, ?)", (key, states_LC.astype(np.float16).tobytes()))

    def __len__(self) -> int:
        return int(self._do("SELECT COUNT(*) FROM states", ()).fetchone()[0])

    def _do(self, command: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self._connection().execute(command, values)
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"kept states: {self.path} cannot be used ({error}); delete it, it is made again, or set keep=False"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        """One for each process: a connection must not cross a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            made = sqlite3.connect(self.path, timeout=60.0, isolation_level=None, check_same_thread=False)
            made.execute("PRAGMA journal_mode = WAL")
            made.execute("PRAGMA synchronous = NORMAL")
            made.execute("CREATE TABLE IF NOT EXISTS states (key BLOB PRIMARY KEY, states BLOB)")
            self._opened = (os.getpid(), made)
        return self._opened[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return StateStore, (self.path,)


class FrozenStates(Transform):
    """A transform that runs a frozen encoder: raw value -> its states, rounded to half precision.

    The encoder is no part of the model: no gradient reaches it, no optimizer, device or number format of the model
    concerns it. So its results count as data: omni keeps them in tables and in its feature cache like any
    deterministic transform's, and ``keep`` keeps them on disk for later runs.

    Args:
        source: of the weights.
        encoder: the identity of the weights that a saved model was trained with; None = those installed here.
        keep: keep states in ``$OMNI_HOME/towers``.

    Raises:
        MissingDependencyError: the package is not installed. WeightsError: it holds others than ``encoder`` says.
    """

    deterministic = True
    source: Source

    def __init__(self, *, encoder: Mapping[str, str] | None, keep: bool) -> None:
        self.identity: Identity = require_identity(self.source, encoder)
        self.keep = bool(keep)
        self._store: StateStore | None = None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Keyword arguments besides ``encoder`` and ``keep``."""

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {**self.settings(), "encoder": self.identity.to_dict(), "keep": self.keep}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        rows = [item["states_LC"] for item in items]
        lengths_B = torch.tensor([len(row) for row in rows])
        states_BLC = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return {"states_BLC": states_BLC, "valid_BL": torch.arange(states_BLC.shape[1])[None] < lengths_B[:, None]}

    def _kept(self, content: bytes, compute: Any) -> np.ndarray:
        """float16 (L, 384) of an item: from disk, or from ``compute()``, which gives float32.

        Raises:
            InputError: states that are not finite.
        """
        if self.keep and self._store is None:
            self._store = StateStore(self._path())
        key = hashlib.blake2b(content, digest_size=16).digest()
        found = self._store.get(key) if self._store is not None else None
        if found is None:
            found = np.asarray(compute(), dtype=np.float32).reshape(-1, WIDTH).astype(np.float16)
            if not np.isfinite(found).all():
                raise InputError(f"{self.source.package} gives states that are not finite for this value; leave it out")
            if self._store is not None:
                self._store.put(key, found)
        return found

    def _path(self) -> Path:
        """Of the file of these weights under these settings."""
        named = json.dumps([self.identity.to_dict(), self.settings()], sort_keys=True)
        digest = hashlib.sha256(named.encode()).hexdigest()[:16]
        return omni_home() / "towers" / f"{self.source.package}-{digest}.sqlite"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_store": None}


def as_states(found_LC: np.ndarray) -> dict[str, Tensor]:
    """{"states_LC"} float16, as they are kept: tables of a data set hold many."""
    return {"states_LC": torch.from_numpy(found_LC.copy())}


def positive(name: str, value: float, most: float) -> float:
    """The value, refused outside (0, most].

    Raises:
        ConfigError: it is.
    """
    if not 0 < value <= most:
        raise ConfigError(f"{name}={value} must be above 0 and at most {most:g}")
    return value
