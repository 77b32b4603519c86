"""Reading safetensors: which weights a file holds, and what differs from a model, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from omni.errors import WeightsError

SHOWN = 5


def split_keys(path: Path, *, wanted: Collection[str], dropped: Collection[str]) -> tuple[dict[str, tuple], list[str]]:
    """Names and shapes in the file, without those that belong to a dropped modality or slot.

    Args:
        wanted: names that the model has; never dropped.
        dropped: modalities and slots of the file that the model was built without; a name belongs to one if one of its
            dot-separated parts is that word.

    Returns:
        name -> shape of what remains, and the names left out.
    """
    names, left = {}, []
    with _open(path) as file:
        for name in file.keys():
            if name not in wanted and not set(dropped).isdisjoint(name.split(".")):
                left.append(name)
            else:
                names[name] = tuple(file.get_slice(name).get_shape())
    return names, left


def load_tensors(path: Path, names: Collection[str]) -> dict[str, Tensor]:
    """These tensors of the file, on the CPU, each in memory of its own.

    In the file they start at any byte, and kernels of some processors add in another order there: the last bits of an
    output would differ between a model and its saved copy.
    """
    with _open(path) as file:
        return {name: file.get_tensor(name).clone() for name in names}


def explain_difference(
    path: Path,
    wanted: Mapping[str, Tensor],
    found: Mapping[str, tuple],
    *,
    modalities: Sequence[str] = (),
    slots: Sequence[str] = (),
) -> str:
    """What keeps the weights from fitting the model, in words; "" if they fit."""
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    shapes = [
        f"{name} is {found[name]} in the file and {tuple(value.shape)} in the model"
        for name, value in wanted.items()
        if name in found and found[name] != tuple(value.shape)
    ]
    if not (missing or unknown or shapes):
        return ""
    parts = []
    experts = [name for name in modalities if _all_missing(name, wanted, missing)]
    parts += [f"these weights have no {name} expert" for name in experts]
    rest = [name for name in missing if not any(part in name.split(".") for part in experts)]
    for slot in slots:
        if f"missing.{slot}" in rest:
            rest.remove(f"missing.{slot}")
            parts.append(f"these weights have no learnt missing embedding for the slot {slot!r}")
    parts += [f"missing: {_shown(rest)}"] if rest else []
    parts += [f"unknown to the model: {_shown(unknown)}"] if unknown else []
    parts += [f"wrong shape: {_shown(shapes, '; ')}"] if shapes else []
    return f"{path} does not fit the model: {'; '.join(parts)}. Config and weights must be of one model."


def _all_missing(modality: str, wanted: Mapping[str, Tensor], missing: Sequence[str]) -> bool:
    mine = [name for name in wanted if modality in name.split(".")]
    return bool(mine) and set(mine) <= set(missing)


def _shown(names: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return between.join(names[:SHOWN]) + more


def _open(path: Path):  # noqa: ANN202 - safetensors' class has no public name
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}. It is damaged or incomplete.") from error
