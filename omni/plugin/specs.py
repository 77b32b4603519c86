"""What plugins declare: frozen, keyword-only, cheap. Targets are strings "package.module:Object", imported on build."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

API_VERSION = 1
SUPPORTED_API = frozenset({API_VERSION})
NAME_PATTERN = re.compile(r"^[a-z][a-z0-9_]*$")
SLUG_PATTERN = re.compile(r"^[a-z0-9][a-z0-9_.-]*$")
TARGET_PATTERN = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
LAYOUTS = ("1d", "2d", "3d", "set")


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """Who a plugin is.

    Attributes:
        name: ``^[a-z][a-z0-9_]*$``, equal to the entry point's name.
        api: the plugin API it was written for.
        license: SPDX expression of the plugin's code.
        maturity: "stable", "beta" or "research".
        notices: sentences that every user must see (e.g. "Research software, not a medical device.").
    """

    name: str
    summary: str = ""
    api: int = API_VERSION
    license: str = "Apache-2.0"
    maturity: str = "beta"
    homepage: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """Fields that every component has.

    Attributes:
        name: how configs and the command line call it; unique among its kind.
        target: "package.module:Object", imported when the component is first built.
        summary: one line for tables.
        aliases: other names that lead here.
        requires: PEP 508 strings of what the target needs beyond its distribution's own dependencies.
    """

    kind: ClassVar[str] = "component"
    name_pattern: ClassVar[re.Pattern[str]] = NAME_PATTERN

    name: str
    target: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    experimental: bool = False

    def problems(self) -> list[str]:
        """What is wrong with this spec, in words; empty when it is sound. Imports nothing."""
        found = []
        for name in (self.name, *self.aliases):
            if not isinstance(name, str) or not self.name_pattern.match(name):
                found.append(f"{self.kind} name {name!r} must match {self.name_pattern.pattern}")
        for text in self.target_strings():
            if not isinstance(text, str) or not TARGET_PATTERN.match(text):
                found.append(f"{self.kind} {self.name!r}: target {text!r} must look like 'package.module:Object'")
        return found

    def target_strings(self) -> tuple[str, ...]:
        """Every "module:Object" string that must resolve."""
        return (self.target,) if self.target else ()


@dataclass(frozen=True, kw_only=True)
class ModalitySpec(ComponentSpec):
    """A modality.

    Attributes:
        target: the default adapter class, a ModalityAdapter.
        loader: "module:function", (value, **options) -> raw value; value is a path, bytes, array or in-memory object.
        transform: name of the default TransformSpec.
        layout: "1d", "2d", "3d" or "set": which positions its tokens have.
        extensions: file endings with the dot, lower case, that the loader reads.
        literal_strings: a string is the value itself; only a ``Path`` names a file. Otherwise, where there are
            extensions, a string names a file.
        sample: "module:function", (variant: str = "typical") -> a tiny synthetic raw value as the loader gives it:
            "typical" an ordinary one, "other" one of another size and content, "minimum" the smallest that the
            transform accepts; the same on every call, no files; another word raises ValueError. Used by docs, export
            and the contract tests (omni.testing), whose ragged batches are made of the three.
        tracks: (name, "module:function") pairs: what files of this modality hold for slots of another one (the sound of
            a film), (path or bytes, **options) -> a value that the other's loader takes. Slots ask for it with
            ``loader=dict(track="modality.name")``; a file without it raises omni.errors.MissingSlotError.
    """

    kind: ClassVar[str] = "modality"

    loader: str
    transform: str
    sample: str
    layout: str = "1d"
    extensions: tuple[str, ...] = ()
    literal_strings: bool = False
    tracks: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        found = super().problems()
        if self.layout not in LAYOUTS:
            found.append(f"modality {self.name!r}: layout {self.layout!r} must be one of {', '.join(LAYOUTS)}")
        return found

    def target_strings(self) -> tuple[str, ...]:
        return (self.target, self.loader, self.sample, *(function for _, function in self.tracks))


@dataclass(frozen=True, kw_only=True)
class HeadSpec(ComponentSpec):
    """A task head: target is a Head class; inputs are the CoreOutput fields it reads ("pooled", "tokens")."""

    kind: ClassVar[str] = "head"

    task: str
    inputs: tuple[str, ...] = ("pooled",)
    output: str = "HeadOutput"
    postprocess: str = ""

    def target_strings(self) -> tuple[str, ...]:
        return tuple(text for text in (self.target, self.postprocess) if text)


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec(ComponentSpec):
    """A training objective: target is an Objective class; consumes names the leaves it reads ("embeddings", "tokens",
    "decoder", "views", "teacher", "labels")."""

    kind: ClassVar[str] = "objective"

    consumes: tuple[str, ...] = ("embeddings",)
    supports_grad_cache: bool = True


@dataclass(frozen=True, kw_only=True)
class TransformSpec(ComponentSpec):
    """A transform: target is a Transform class; role is "transform", "augment" or "tokenizer"."""

    kind: ClassVar[str] = "transform"

    modality: str
    role: str = "transform"


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(ComponentSpec):
    """A data set: target is a map-style or iterable dataset class whose items are omni.types.Sample.

    Attributes:
        modalities: slot -> modality pairs as a tuple of (slot, modality).
        obtained: how a user gets it ("ships with the plugin", "omni data build NAME", a URL to request it at ...).
    """

    kind: ClassVar[str] = "dataset"

    modalities: tuple[tuple[str, str], ...]
    splits: tuple[str, ...] = ("train", "val", "test")
    streaming: bool = False
    license: str = ""
    bytes: int | None = None
    obtained: str = ""
    build: str = ""
    synthetic: bool = False

    def target_strings(self) -> tuple[str, ...]:
        return tuple(text for text in (self.target, self.build) if text)


@dataclass(frozen=True, kw_only=True)
class MetricSpec(ComponentSpec):
    """A metric: target is a Metric class; monitors are the keys it reports that may pick the best checkpoint."""

    kind: ClassVar[str] = "metric"

    task: str
    higher_is_better: bool = True
    monitors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model zoo entry.

    Attributes:
        name: "omni-tiny-m3mini" style slug.
        config: "package:path/in/package.py" or "" when the weights folder carries it.
        weights: "package:folder", a folder, "hf:org/repo", or a URL; "" = recipe only, no shipped weights.
        sha256: of the safetensors file ("" only for a recipe).
        trained_on: names of data sets. params: number of parameters.
        results: dictionaries {dataset, split, metric, value, source}.
        plugins: PEP 508 requirements of the plugins it needs.
    """

    kind: ClassVar[str] = "model"

    name: str
    summary: str = ""
    config: str = ""
    weights: str = ""
    sha256: str = ""
    bytes: int = 0
    license: str = ""
    trained_on: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    params: int = 0
    results: tuple[dict[str, Any], ...] = ()
    source: str = ""
    recipe: str = ""
    plugins: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        """What is wrong with this entry, in words."""
        found = []
        if not SLUG_PATTERN.match(self.name):
            found.append(f"model name {self.name!r} must match {SLUG_PATTERN.pattern}")
        if self.weights and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            found.append(f"model {self.name!r}: weights without a sha256 of 64 hexadecimal digits")
        if not self.weights and not self.recipe and not self.config:
            found.append(f"model {self.name!r}: neither weights nor a config nor a recipe")
        return found

    def target_strings(self) -> tuple[str, ...]:
        """A zoo entry resolves no objects."""
        return ()


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """A published system as this project realises it.

    Attributes:
        slug: its name here. title, year: of the paper.
        claim: the paper's claim that the experiment examines, in one sentence.
        components: names of the components it is made of, as "kind:name".
        config: "package:path" of the training config, or "".
        experiment: "module:function", (seeds, full, progress) -> omni.systems.ExperimentResult.
        data: "real" or "synthetic" (then the stand-in is named in ``data_note``).
    """

    kind: ClassVar[str] = "system"

    slug: str
    title: str
    year: int
    claim: str = ""
    components: tuple[str, ...] = ()
    config: str = ""
    experiment: str = ""
    data: str = "real"
    data_note: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The slug: systems are found by it."""
        return self.slug

    def problems(self) -> list[str]:
        """What is wrong with this spec, in words."""
        found = []
        if not NAME_PATTERN.match(self.slug):
            found.append(f"system slug {self.slug!r} must match {NAME_PATTERN.pattern}")
        if self.experiment and not TARGET_PATTERN.match(self.experiment):
            found.append(f"system {self.slug!r}: experiment {self.experiment!r} must be 'package.module:function'")
        if self.data not in ("real", "synthetic"):
            found.append(f"system {self.slug!r}: data {self.data!r} must be 'real' or 'synthetic'")
        return found

    def target_strings(self) -> tuple[str, ...]:
        """The experiment's function, if there is one."""
        return (self.experiment,) if self.experiment else ()


@dataclass(frozen=True, kw_only=True)
class CommandSpec(ComponentSpec):
    """An extra verb of the command line: target is a typer.Typer or a function with typer annotations."""

    kind: ClassVar[str] = "command"
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"^[a-z][a-z0-9_-]*$")


@dataclass(frozen=True, kw_only=True)
class HookReturn:
    """Which hook returns which spec; used by the manager to check return types."""

    hook: str
    spec: type[Any]
    many: bool = True


HOOK_RETURNS: tuple[HookReturn, ...] = (
    HookReturn(hook="omni_plugin_info", spec=PluginInfo, many=False),
    HookReturn(hook="omni_modalities", spec=ModalitySpec),
    HookReturn(hook="omni_heads", spec=HeadSpec),
    HookReturn(hook="omni_objectives", spec=ObjectiveSpec),
    HookReturn(hook="omni_transforms", spec=TransformSpec),
    HookReturn(hook="omni_datasets", spec=DatasetSpec),
    HookReturn(hook="omni_metrics", spec=MetricSpec),
    HookReturn(hook="omni_models", spec=ModelEntry),
    HookReturn(hook="omni_systems", spec=SystemSpec),
    HookReturn(hook="omni_commands", spec=CommandSpec),
)
KINDS: tuple[str, ...] = tuple(entry.spec.kind for entry in HOOK_RETURNS if entry.many)

__all__ = [name for name, value in list(globals().items()) if isinstance(value, type) and value.__module__ == __name__]
__all__ += ["API_VERSION", "SUPPORTED_API", "HOOK_RETURNS", "KINDS", "NAME_PATTERN"]
