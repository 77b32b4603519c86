"""Generation of tokens by transformers' ``generate``: beam search, sampling and their options are its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from omni.core.token_decoder import Memory, TokenDecoder
from omni.errors import ConfigError, MissingDependencyError


def generate(
    decoder: TokenDecoder,
    memory: Memory,
    *,
    batch: int,
    begin_id: int,
    end_id: int,
    pad_id: int,
    max_new_tokens: int | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Tensor:
    """(R, T) ids without the begin token, filled with ``pad_id`` behind the end token, which is kept.

    Args:
        memory: of ``batch`` samples. max_new_tokens: None = as many as the decoder has places for.
        seed: of sampling; the caller's random state is left alone. None = drawn from the caller's random state.
        options: of transformers' ``generate`` (num_beams, do_sample, top_p, length_penalty, num_return_sequences ...).

    Raises:
        MissingDependencyError: transformers is not installed.
        ConfigError: more tokens than places, or an option that ``generate`` does not take.
    """
    places = decoder.max_length - 1
    if max_new_tokens is not None and not 1 <= max_new_tokens <= places:
        raise ConfigError(f"max_new_tokens is {max_new_tokens}; this decoder has {places} places.")
    driver = _driver_class()(decoder, begin_id=begin_id, end_id=end_id, pad_id=pad_id)
    device = decoder.embedding.weight.device
    start = torch.full((batch, 1), begin_id, dtype=torch.long, device=device)
    given = {"num_beams": 1, "do_sample": False, **dict(options or {})}
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices, enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            made = driver.generate(
                input_ids=start,
                attention_mask=torch.ones_like(start),
                memory=memory,
                max_new_tokens=max_new_tokens or places,
                **given,
            )
        except (ValueError, TypeError) as error:
            raise ConfigError(f"generation: {str(error).strip().splitlines()[0]}") from error
    return made[:, 1:]


def _driver_class() -> type:
    try:
        from omni.heads.generation_driver import Driver
    except ImportError as error:
        raise MissingDependencyError("Generation needs transformers: pip install 'omni-core[hf]'") from error
    return Driver
