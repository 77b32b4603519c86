"""Configs: mmengine's text style, dotted overrides, unknown keys refused, paths inside packages.

A config file is a Python file of assignments: names bound to literals and calls of ``dict``. It holds strings where
components are meant, and imports nothing. ``_base_`` names files to start from (relative, absolute, or
"package:path/in/package.py"); dictionaries are merged into the bases' unless they say ``_delete_=True``.
"""

from __future__ import annotations

import ast
import json
import pprint
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omni.errors import ConfigError
from omni.plugin.suggest import did_you_mean

_TYPES = (dict, list, tuple, set, range, int, float, str, bool, zip, enumerate)
_SAFE_BUILTINS = {item.__name__: item for item in (*_TYPES, len, min, max, sum, round, abs, sorted)}
_FORBIDDEN = {
    ast.Import: "imports something",
    ast.ImportFrom: "imports something",
    ast.FunctionDef: "defines a function",
    ast.ClassDef: "defines a class",
    ast.Lambda: "has a lambda",
}


def load(
    source: str | Path | Mapping[str, Any], *, overrides: Sequence[str] = (), check: bool = True
) -> dict[str, Any]:
    """A config as plain dictionaries and lists.

    Args:
        source: a path, "package:path/in/package.py", or a mapping (an mmengine Config too).
        overrides: "a.b=c" settings, applied in order (see ``override``).
        check: refuse unknown keys (see omni.config_schema).

    Raises:
        ConfigError: no such file, a file that does more than assign, a bad override, an unknown key.
    """
    if isinstance(source, Mapping):
        config = plain(source)
    else:
        path = find(source)
        config = read(path)
        config.setdefault("name", path.stem)
    for text in overrides:
        override(config, text)
    if check:
        from omni.config_schema import check_config

        if any(config.get(key) is not None for key in ("load_from", "add_modality", "lora")):
            from omni.engine.adding import complete

            config = complete(config)

        check_config(config)
    return config


def find(source: str | Path, *, relative_to: Path | None = None) -> Path:
    """The file that a path or "package:path" means.

    Raises:
        ConfigError: there is none; the message says where it was looked for.
    """
    text = str(source)
    package, colon, inside = text.partition(":")
    if colon and package.replace(".", "_").replace("-", "_").isidentifier() and len(package) > 1:
        return _in_package(package, inside)
    path = Path(text).expanduser()
    if relative_to is not None and not path.is_absolute():
        path = relative_to / path
    if not path.is_file():
        raise ConfigError(f"There is no config {path}. Give a path, or 'package:path/in/package.py'.")
    return path


def _in_package(package: str, inside: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(f"Config '{package}:{inside}': there is no package {package!r}. Install it, or give a path.")
    folder = Path(spec.origin).parent
    candidates = [folder / inside]
    if (folder.parent / "pyproject.toml").is_file():  # in a source checkout the configs lie beside the package
        candidates.append(folder.parent / inside)
    for path in candidates:
        if path.is_file():
            return path
    beside = sorted({other.name for path in candidates if path.parent.is_dir() for other in path.parent.glob("*.py")})
    hint = did_you_mean(candidates[0].name, beside) or f" (looked for {' and '.join(map(str, candidates))})"
    raise ConfigError(f"Config '{package}:{inside}': there is no such file.{hint}")


def read(path: Path) -> dict[str, Any]:
    """A config file with its bases merged."""
    return _read(path, ())


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    path = path.resolve()
    if path in above:
        raise ConfigError(f"Config {path} is its own `_base_`, by way of {', '.join(item.name for item in above)}.")
    own = _execute(path)
    bases = own.pop("_base_", [])
    merged: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        found = _read(find(base, relative_to=path.parent), (*above, path))
        twice = set(found) & set(merged)
        if twice:
            raise ConfigError(f"Config {path}: two of its bases set {', '.join(sorted(twice))}.")
        merged.update(found)
    return merge(merged, own)


def _execute(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text, filename=str(path))
    except SyntaxError as error:
        raise ConfigError(f"Config {path}, line {error.lineno}: {error.msg}.") from error
    for node in ast.walk(tree):
        what = next((text for kind, text in _FORBIDDEN.items() if isinstance(node, kind)), None)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            what = f"reads {node.attr!r}"
        if what is not None:
            raise ConfigError(
                f"Config {path}, line {node.lineno}: it {what}. A config only assigns values; name components by "
                "strings, as type='...'."
            )
    values: dict[str, Any] = {"__builtins__": _SAFE_BUILTINS}
    try:
        exec(compile(tree, str(path), "exec"), values)  # assignments only, checked above
    except Exception as error:
        raise ConfigError(f"Config {path}: {type(error).__name__}: {error}.") from error
    return {key: plain(value) for key, value in values.items() if not key.startswith("__") and _is_setting(key)}


def _is_setting(name: str) -> bool:
    """Names with an underscore in front are helpers of the file, except ``_base_``."""
    return name == "_base_" or not name.startswith("_")


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """``change`` merged into ``base``, key by key; ``_delete_=True`` in a dictionary replaces the base's."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping):
            value = dict(value)
            replace = value.pop("_delete_", False)
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) and not replace else {}, value)
        else:
            merged[key] = value
    return merged


def plain(value: Any) -> Any:
    """Mappings as dict and sequences as list, all the way down; objects that a config may hold in Python stay."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [plain(item) for item in value]
    return value


def override(config: dict[str, Any], text: str) -> None:
    """Apply "a.b.0.c=value" in place.

    The value is a JSON or Python literal (``3e-4``, ``true``, ``None``, ``[1, 2]``, ``{"a": 1}``), else a string.
    Numbers index lists. Missing dictionaries are made; the check for unknown keys finds typos afterwards.

    Raises:
        ConfigError: no "=", an index out of range, or a path through something that is neither dictionary nor list.
    """
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--override {text!r}: it must look like a.b=c.")
    place: Any = config
    for depth, key in enumerate(keys[:-1]):
        place = _step(place, key, text, ".".join(keys[:depth]), create=True)
    if isinstance(place, list):
        place[_index(place, keys[-1], text, ".".join(keys[:-1]))] = literal(value.strip())
    elif isinstance(place, dict):
        place[keys[-1]] = literal(value.strip())
    else:
        raise ConfigError(f"--override {text!r}: {'.'.join(keys[:-1])} is {place!r}, which has no parts.")


def _step(place: Any, key: str, text: str, where: str, *, create: bool) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, text, where)]
    if not isinstance(place, dict):
        raise ConfigError(f"--override {text!r}: {where} is {place!r}, which has no parts.")
    if place.get(key) is None and create:
        place[key] = {}
    return place[key]


def _index(place: list[Any], key: str, text: str, where: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise ConfigError(f"--override {text!r}: {where} is a list of {len(place)}, and {key!r} is no index of it.")
    return int(key)


def literal(text: str) -> Any:
    """A JSON or Python literal, else the text itself."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return plain(parse(text))
        except (ValueError, SyntaxError):
            continue
    return text


def dump(config: Mapping[str, Any], path: Path) -> None:
    """Write a config as a file that ``load`` reads; objects become comments on what they were."""
    lines = []
    for key, value in config.items():
        text = pprint.pformat(plain(value), width=110, sort_dicts=False)
        try:
            ast.literal_eval(text)
        except (ValueError, SyntaxError):
            lines.append(f"# {key} held objects that a file cannot hold: {type(value).__name__}")
            continue
        lines.append(f"{key} = {text}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def suggest(key: str, known: Sequence[str]) -> str:
    """Did-you-mean and the list, for messages."""
    return f"{did_you_mean(key, known)} Known: {', '.join(known)}."
