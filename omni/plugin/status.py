"""What the host knows of one plugin: where it came from, whether it works, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from omni.plugin.specs import PluginInfo

State = Literal["ok", "broken", "incompatible", "disabled"]
BUILTIN_DISTRIBUTION = "omni (built-in)"


@dataclass(kw_only=True)
class PluginStatus:
    """One plugin, working or not (then this is its tombstone).

    Attributes:
        name: the entry point's name.
        distribution: who ships it; "omni (built-in)", or "file PATH" for a one-file plugin.
        source: the entry point's value, "package.module".
        state: "ok", "broken", "incompatible" (written for another plugin API) or "disabled" (by a switch).
        reason: why it is not ok, in one sentence; "" when it is.
        hint: what to do about it.
        notes: breaches of the plugin contract that do not stop it (torch imported at discovery, output printed).
        printed: what it wrote to stdout and stderr while it was loaded.
        info: what it says about itself, once asked.
        specs: what it provides, or would provide if it were ok, as far as it could be asked.
        error: the exception that broke it. traceback: its formatted traceback.
        seconds: how long loading and asking it took.
    """

    name: str
    distribution: str
    version: str = ""
    source: str = ""
    state: State = "ok"
    reason: str = ""
    hint: str = ""
    notes: list[str] = field(default_factory=list)
    printed: str = ""
    info: PluginInfo | None = None
    specs: list[Any] = field(default_factory=list)
    error: BaseException | None = field(default=None, repr=False, compare=False)
    traceback: str = field(default="", repr=False)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True if everything the plugin provides is in the catalog."""
        return self.state == "ok"

    @property
    def api(self) -> int | None:
        """The plugin API it was written for; None where it could not be asked."""
        return self.info.api if self.info else None

    @property
    def provides(self) -> dict[str, list[str]]:
        """kind -> names, in the order in which the plugin gave them."""
        found: dict[str, list[str]] = {}
        for spec in self.specs:
            found.setdefault(spec.kind, []).append(spec.name)
        return found

    def label(self) -> str:
        """'omni-plugin-ecg 0.3.1', for messages."""
        return f"{self.distribution} {self.version}".strip()

    def fail(self, state: State, reason: str, *, hint: str = "", error: BaseException | None = None) -> None:
        """Turn into a tombstone; what it would have provided stays known, for messages only."""
        self.state, self.reason, self.hint, self.error = state, reason, hint, error

    def to_dict(self) -> dict[str, Any]:
        """JSON form, for ``omni plugins list --json``."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "source": self.source,
            "api": self.api,
            "status": self.state,
            "reason": self.reason,
            "hint": self.hint,
            "notes": list(self.notes),
            "printed": self.printed,
            "maturity": self.info.maturity if self.info else "",
            "license": self.info.license if self.info else "",
            "notices": list(self.info.notices) if self.info else [],
            "provides": self.provides,
            "seconds": round(self.seconds, 4),
        }
