"""Names of the floating-point types in which a model can run."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from omni.errors import ConfigError

_NAMES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "float16": torch.float16,
    "fp16": torch.float16,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float64": torch.float64,
}


def resolve_dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    """The torch dtype of a name; None = float32.

    Raises:
        ConfigError: not a floating-point type that a model can run in.
    """
    if dtype is None:
        return torch.float32
    if isinstance(dtype, torch.dtype) and dtype in _NAMES.values():
        return dtype
    if isinstance(dtype, str) and dtype.removeprefix("torch.") in _NAMES:
        return _NAMES[dtype.removeprefix("torch.")]
    raise ConfigError(f"dtype {dtype!r} is not one a model can run in; use one of {', '.join(_NAMES)}.")


def fast_bfloat16(device_type: str = "cpu") -> bool:
    """Whether the device has instructions for bfloat16; without them torch goes through float32, much slower."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device_type == "cpu" and any(check() for check in checks if check is not None)


def cast_inputs(inputs: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Inputs on the device, real-valued ones in ``dtype``; whole numbers (token ids) and masks are never cast."""
    return {
        name: value.to(device=device, dtype=dtype if value.is_floating_point() else None, non_blocking=True)
        for name, value in inputs.items()
    }
