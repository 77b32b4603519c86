"""``omni plugins new``: writes a whole distribution with a small real modality that passes its own contract tests."""

from __future__ import annotations

import keyword
from importlib import resources
from pathlib import Path

from omni.errors import ConfigError
from omni.plugin.specs import NAME_PATTERN
from omni.plugin.suggest import known_plugins

FILES = {
    "common/pyproject.toml": "pyproject.toml",
    "common/README.md": "README.md",
    "common/workflow.yml": ".github/workflows/test.yml",
    "common/__init__.py": "{{package}}/__init__.py",
    "common/plugin.py": "{{package}}/plugin.py",
    "common/io.py": "{{package}}/io.py",
    "common/made_up.py": "{{package}}/made_up.py",
    "common/config.py": "configs/text_image_{{modality}}.py",
    "common/add.py": "configs/add_{{modality}}.py",
    "common/test_contract.py": "tests/test_contract.py",
    "{{layout}}/transform.py": "{{package}}/transform.py",
    "{{layout}}/adapter.py": "{{package}}/adapter.py",
}
LAYOUTS = {
    "2d": {
        "shapes": '{"typical": (12, 16), "other": (21, 10), "minimum": (1, 1)}',
        "ndim": "2",
        "axes": "(rows, columns)",
        "summary": "2d fields of numbers",
        "shape_of_one": "(16, 16)",
    },
    "1d": {
        "shapes": '{"typical": (60, 2), "other": (97, 2), "minimum": (1, 2)}',
        "ndim": "2",
        "axes": "(samples, channels)",
        "summary": "signals of numbers over time",
        "shape_of_one": "(64, 2)",
    },
}
CHANNELS = 2


def write_plugin(name: str, *, directory: Path, modality: str, layout: str = "2d", author: str = "") -> Path:
    """Write the folder ``directory/omni-plugin-NAME``.

    Args:
        name: of the plugin.
        directory: where; made if it is missing.
        modality: name of the modality that it brings.
        layout: "1d" (signals) or "2d" (fields).
        author: for pyproject.toml; "" leaves it out.

    Returns:
        The folder.

    Raises:
        ConfigError: an illegal name, a name of a plugin that this project ships, or a folder that exists already.
    """
    from omni import __version__

    for what, value in (("plugin", name), ("modality", modality)):
        if not NAME_PATTERN.match(value) or keyword.iskeyword(value):
            raise ConfigError(f"The {what} name {value!r} is not legal: it must match {NAME_PATTERN.pattern}")
    if name in known_plugins():
        raise ConfigError(f"The plugin name {name!r} belongs to {known_plugins()[name].distribution}; take another.")
    if layout not in LAYOUTS:
        raise ConfigError(f"The layout {layout!r} is none of {', '.join(LAYOUTS)}")
    distribution = f"omni-plugin-{name.replace('_', '-')}"
    package = f"omni_plugin_{name}"
    values = {
        **LAYOUTS[layout],
        "name": name,
        "modality": modality,
        "layout": layout,
        "channels": str(CHANNELS),
        "title": "".join(part.capitalize() for part in modality.split("_")),
        "package": package,
        "distribution": distribution,
        "omni_version": ".".join(__version__.split(".")[:2]),
        "authors": f'authors = [{{ name = "{_toml(author)}" }}]\n' if author else "",
    }
    folder = Path(directory) / distribution
    if folder.exists():
        raise ConfigError(f"{folder} exists already; remove it or take another --dir. Nothing was written.")
    for source, target in FILES.items():
        path = folder / fill(target, values)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fill(_template(fill(source, values)), values), encoding="utf-8")
    return folder


def fill(text: str, values: dict[str, str]) -> str:
    """Replace every ``{{key}}``."""
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _template(name: str) -> str:
    return resources.files("omni.plugin").joinpath("template", f"{name}.tmpl").read_text(encoding="utf-8")


def _toml(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
