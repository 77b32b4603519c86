"""Freeze lists: patterns over parameter names that decide what trains in a stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from omni.errors import ConfigError
from omni.plugin.suggest import did_you_mean


def match(pattern: str, name: str) -> bool:
    """Whether a pattern means a parameter: the name itself, a glob over it, or a module above it (glob or not)."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def apply_freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Set ``requires_grad`` of every parameter: the last pattern that matches decides, ``"!"`` in front unfreezes.

    ``["*", "!adapters.ecg", "!core.*.experts.ecg"]`` trains one modality's adapter and experts and nothing else.

    Args:
        model: the OmniModel.
        patterns: module names, parameter names, or globs over them.

    Returns:
        names of the frozen parameters.

    Raises:
        ConfigError: a pattern matches nothing.
    """
    parameters = dict(model.named_parameters())
    frozen = dict.fromkeys(parameters, False)
    for pattern in patterns:
        body = pattern.removeprefix("!")
        hits = [name for name in parameters if match(body, name)]
        if not hits:
            raise ConfigError(
                f"freeze: the pattern {pattern!r} matches no parameter of the model."
                f"{did_you_mean(body, _module_names(parameters))} Its parts are {', '.join(_parts(parameters))}."
            )
        frozen.update(dict.fromkeys(hits, not pattern.startswith("!")))
    for name, parameter in parameters.items():
        parameter.requires_grad_(not frozen[name])
    return [name for name, is_frozen in frozen.items() if is_frozen]


def hold_statistics(model: nn.Module) -> None:
    """Put norms that keep running statistics into evaluation mode where they are frozen; a norm without parameters is
    frozen if everything beside it is."""
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if getattr(module, "running_mean", None) is None:
            continue
        scope = name
        while scope and next(modules[scope].parameters(), None) is None:
            scope = scope.rpartition(".")[0]
        if not any(parameter.requires_grad for parameter in modules[scope].parameters()):
            module.eval()


def _module_names(parameters: Iterable[str]) -> list[str]:
    names: dict[str, None] = {}
    for name in parameters:
        parts = name.split(".")
        names.update(dict.fromkeys(".".join(parts[:depth]) for depth in range(1, len(parts) + 1)))
    return list(names)


def _parts(parameters: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(".".join(name.split(".")[:2]) for name in parameters))[:20]
