"""The catalog's components as mmengine registries; mmengine imports this module by this very name for scope "omni".

A registry here only builds. What exists is asked of the catalog, never of an mmengine registry, whose ``get`` falls
back to importing any dotted name (``get("json")`` returns the standard library's module).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from mmengine import registry as roots
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.utils import ManagerMixin

from omni.errors import ConfigError, OmniError, UnknownComponentError
from omni.plugin.catalog import Catalog, get_catalog
from omni.plugin.suggest import closest, did_you_mean

SCOPE = "omni"
BUILD_KEYS = ("type", "epoch_length")  # of what mmengine builds: not settings of the component

# Classes of omni itself that mmengine's Runner builds by name and that are no plugin component. One row each:
# name -> "module:Object", imported when it is first built.
ENGINE_COMPONENTS: dict[str, dict[str, str]] = {
    "model": {},
    "hook": {},
    "loop": {},
    "function": {},
    "optim_wrapper": {},
    "evaluator": {},
    "log_processor": {},
    "vis_backend": {},
    "data_sampler": {},
    "strategy": {"ddp": "omni.engine.strategy:WholeStrategy", "fsdp": "omni.engine.sharded:ShardedStrategy"},
}


class LazyRegistry(Registry):
    """A registry whose names are those of one kind of the catalog; the first build of a name imports one module.

    Args:
        name: of the registry, a key of ENGINE_COMPONENTS where omni's own engine classes belong to it.
        kind: the catalog's kind, or "" for registries of mmengine machinery that no plugin provides.
        parent: the mmengine root registry, or None for a registry that only omni uses.
    """

    def __init__(self, name: str, *, kind: str = "", parent: Registry | None = None) -> None:
        super().__init__(name, parent=parent, scope=SCOPE)
        self.kind = kind
        self._catalog: Catalog | None = None
        self._from_catalog: set[str] = set()

    def get(self, key: str) -> Any:
        """The class or function called ``key``: "name", "omni.name", "scope.Name" or a dotted import path.

        Raises:
            UnknownComponentError: nothing of that name exists.
        """
        name = key.removeprefix(f"{SCOPE}.") if isinstance(key, str) else key
        if not isinstance(name, str):
            raise ConfigError(f"A {self.name} is named by a string, not by {type(key).__name__}: {key!r}")
        if "." in name:
            return self._get_dotted(key)
        self._import_once(name)
        if name in self._module_dict:
            return self._module_dict[name]
        if self.parent is not None and name == key:  # "omni.name" is looked for in omni alone
            if name not in self.parent.module_dict:
                import mmengine.runner  # noqa: F401  mmengine registers its own classes when their modules are imported
            if name in self.parent.module_dict:
                return self.parent.module_dict[name]
        raise UnknownComponentError(self._explain(name))

    def __contains__(self, key: object) -> bool:
        try:
            self.get(key)  # type: ignore[arg-type]
        except (UnknownComponentError, ConfigError):
            return False
        return True

    def build(self, cfg: Any, *args: Any, default_args: Mapping[str, Any] | None = None, **settings: Any) -> Any:
        """Build ``dict(type=name, **keyword arguments)``; the type may also be the class or function itself.

        Args:
            cfg: any mapping, or mmengine's Config. Of registries that no plugin provides for also what mmengine's own
                take besides, as a list of models.
            default_args: settings where ``cfg`` has none.
            settings: more of them, over those of ``cfg``.

        Raises:
            UnknownComponentError: see ``get``.
            ConfigError: no mapping, no type, or keyword arguments that the component does not take.
        """
        by_mmengine = self.parent is not None and not self.kind
        if by_mmengine and isinstance(cfg, (list, tuple)):
            return super().build([self._options(item) for item in cfg], *args, default_args=default_args, **settings)
        needs_type = self.build_func is not roots.build_runner_from_cfg
        options = self._options(cfg, default_args or {}, settings, needs_type=needs_type)
        if by_mmengine:
            self._check_machinery(options)
            return super().build(options, *args)
        target = options.pop("type")
        scope = options.pop("_scope_", None)
        name = target if scope is None or not isinstance(target, str) else f"{scope}.{target}"
        component = target if callable(target) else self.get(name)
        what = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        check_arguments(component, options, what=f"{self.name} {what!r}")
        return component(**options)

    def _options(
        self,
        cfg: Any,
        defaults: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        needs_type: bool = True,
    ) -> dict[str, Any]:
        """The settings of one component together."""
        wanted = f"A {self.name} is built from a dictionary with a 'type', not from {cfg!r}."
        if isinstance(cfg, str):
            raise ConfigError(f"{wanted} Write dict(type={cfg!r}, ...).")
        if not isinstance(cfg, (Mapping, Config)):
            built = "" if cfg is None or isinstance(cfg, (int, float, list, tuple)) else " What is built, use as it is."
            raise ConfigError(wanted + built)
        options = {**(defaults or {}), **dict(cfg.items()), **(settings or {})}
        if needs_type and "type" not in options:
            near = closest("type", map(str, options))
            raise ConfigError(wanted + (f" Did you mean 'type' by {near!r}?" if near else ""))
        return options

    def _check_machinery(self, options: Mapping[str, Any]) -> None:
        """mmengine's own classes and functions: the name, and settings that Python would refuse."""
        if "type" not in options or "_scope_" in options:
            return
        kind = options["type"]
        component = kind if callable(kind) else self.get(kind)
        if options.get("convert_to_iter_based") or inspect.isclass(component) and issubclass(component, ManagerMixin):
            return  # built by a method of the class
        try:
            open_ended = any(item.kind is item.VAR_KEYWORD for item in inspect.signature(component).parameters.values())
        except (TypeError, ValueError):
            return
        if not open_ended:
            own = {name: value for name, value in options.items() if name not in BUILD_KEYS}
            check_arguments(component, own, what=f"{self.name} {kind!r}")

    def _import_once(self, name: str) -> None:
        """Register ``name`` if the catalog (or omni's own table) has it and it is not there yet."""
        catalog = get_catalog()
        if catalog is not self._catalog:  # plugins were looked for again
            for stale in self._from_catalog:
                self._module_dict.pop(stale, None)
            self._from_catalog.clear()
            self._catalog = catalog
        if name in self._module_dict:
            return
        own = ENGINE_COMPONENTS.get(self.name, {})
        if name in own:
            self._module_dict[name] = catalog.resolve(own[name])
        elif self.kind and catalog.has(self.kind, name):
            self._module_dict[name] = catalog.component(self.kind, name)
            self._from_catalog.add(name)

    def _get_dotted(self, key: str) -> Any:
        scope, _, rest = key.partition(".")
        if scope == SCOPE and "." not in rest:
            return self.get(rest)
        if scope == "mmengine":
            import mmengine.runner  # noqa: F401
        try:
            found = super().get(key)
        except OmniError:
            raise
        except Exception:  # mmengine raises RuntimeError without a name
            found = None
        if found is None or isinstance(found, ModuleType) or not callable(found):
            names = self.parent.module_dict if scope == "mmengine" and self.parent is not None else ()
            near = did_you_mean(rest, names) or did_you_mean(scope, {SCOPE, "mmengine"} - {scope})
            raise UnknownComponentError(f"No {self.name} {key!r}: no such name in that scope, no such class.{near}")
        return found

    def _explain(self, name: str) -> str:
        if self.kind:
            return get_catalog().explain_unknown(self.kind, name)
        known = {*self.module_dict, *ENGINE_COMPONENTS.get(self.name, {})}
        known |= set(self.parent.module_dict) if self.parent is not None else set()
        return f"No {self.name} {name!r}.{did_you_mean(name, known - {name})}"


def check_arguments(component: Any, options: Mapping[str, Any], *, what: str) -> None:
    """Raise a ConfigError with a did-you-mean if ``component(**options)`` would not accept the names.

    Args:
        component: a class or function.
        options: its keyword arguments.
        what: how messages call it.
    """
    try:
        parameters = inspect.signature(component).parameters
    except (TypeError, ValueError):
        return
    own = _keywords(parameters.values())
    takes_any = any(item.kind is item.VAR_KEYWORD for item in parameters.values())
    accepted = own
    if takes_any and (handed_on := handed_on_keywords(component)) is not None:
        takes_any, accepted = False, handed_on
    for name in options:
        if name not in accepted and not takes_any:
            allowed = ", ".join(accepted) or "none"
            raise ConfigError(f"{what} has no setting {name!r}.{did_you_mean(name, accepted)} Settings: {allowed}.")
    missing = [name for name in own if name not in options and parameters[name].default is inspect.Parameter.empty]
    if missing:
        raise ConfigError(f"{what} needs the setting{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}.")


def handed_on_keywords(component: Any) -> list[str] | None:
    """Every keyword that a class takes, those included that it hands on to its bases as ``**rest``; None if it has no
    such rest, or if the chain ends in a class that takes anything."""
    if not inspect.isclass(component):
        return None
    names: list[str] = []
    rests = 0
    for kind in component.__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = list(inspect.signature(vars(kind)["__init__"]).parameters.values())[1:]
        names += _keywords(parameters)
        if not any(item.kind is item.VAR_KEYWORD for item in parameters):
            return list(dict.fromkeys(names)) if rests else None
        rests += 1
    return None


def _keywords(parameters: Iterable[inspect.Parameter]) -> list[str]:
    return [item.name for item in parameters if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)]


MODELS = LazyRegistry("model", parent=roots.MODELS)
DATASETS = LazyRegistry("dataset", kind="dataset", parent=roots.DATASETS)
TRANSFORMS = LazyRegistry("transform", kind="transform", parent=roots.TRANSFORMS)
METRICS = LazyRegistry("metric", kind="metric", parent=roots.METRICS)
HOOKS = LazyRegistry("hook", parent=roots.HOOKS)
LOOPS = LazyRegistry("loop", parent=roots.LOOPS)
FUNCTIONS = LazyRegistry("function", parent=roots.FUNCTIONS)
RUNNERS = LazyRegistry("runner", parent=roots.RUNNERS)
RUNNER_CONSTRUCTORS = LazyRegistry("runner_constructor", parent=roots.RUNNER_CONSTRUCTORS)
STRATEGIES = LazyRegistry("strategy", parent=roots.STRATEGIES)
DATA_SAMPLERS = LazyRegistry("data_sampler", parent=roots.DATA_SAMPLERS)
MODEL_WRAPPERS = LazyRegistry("model_wrapper", parent=roots.MODEL_WRAPPERS)
WEIGHT_INITIALIZERS = LazyRegistry("weight_initializer", parent=roots.WEIGHT_INITIALIZERS)
OPTIMIZERS = LazyRegistry("optimizer", parent=roots.OPTIMIZERS)
OPTIM_WRAPPERS = LazyRegistry("optim_wrapper", parent=roots.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = LazyRegistry("optim_wrapper_constructor", parent=roots.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = LazyRegistry("param_scheduler", parent=roots.PARAM_SCHEDULERS)
EVALUATOR = LazyRegistry("evaluator", parent=roots.EVALUATOR)
TASK_UTILS = LazyRegistry("task_util", parent=roots.TASK_UTILS)
VISUALIZERS = LazyRegistry("visualizer", parent=roots.VISUALIZERS)
VISBACKENDS = LazyRegistry("vis_backend", parent=roots.VISBACKENDS)
LOG_PROCESSORS = LazyRegistry("log_processor", parent=roots.LOG_PROCESSORS)
INFERENCERS = LazyRegistry("inferencer", parent=roots.INFERENCERS)

ADAPTERS = LazyRegistry("adapter", kind="modality")
HEADS = LazyRegistry("head", kind="head")
OBJECTIVES = LazyRegistry("objective", kind="objective")
