"""Generation of tokens by transformers' ``generate``: beam search, sampling and their options are its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from omni.core.token_decoder import Memory, TokenDecoder
from omni.errors import ConfigError, MissingDependencyError

_DRIVERS: dict[str, type] = {}


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
    if "driver" not in _DRIVERS:
        _DRIVERS["driver"] = _make_driver_class()
    return _DRIVERS["driver"]


def _make_driver_class() -> type:
    try:
        from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
        from transformers.modeling_outputs import CausalLMOutputWithPast
    except ImportError as error:
        raise MissingDependencyError("Generating text needs transformers: pip install 'omni-core[hf]'") from error

    known = {field.name for field in fields(CausalLMOutputWithPast)}
    cache_name = "cache" if "cache" in known else "past_key_values"  # as older releases of transformers call it

    class DecoderConfig(PretrainedConfig):
        model_type = "omni_token_decoder"

    class Driver(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
        """What ``generate`` calls: the decoder as a causal model; the memory goes through as it is, one entry a sample,
        since the beams of a sample all read the same."""

        config_class = DecoderConfig
        main_input_name = "input_ids"

        def __init__(self, decoder: TokenDecoder, *, begin_id: int, end_id: int, pad_id: int) -> None:
            layers, heads = len(decoder.layers), decoder.layers[0].attention.num_heads
            width = decoder.embedding.weight.shape[1]
            ids = {"bos_token_id": begin_id, "eos_token_id": end_id, "pad_token_id": pad_id}
            super().__init__(
                DecoderConfig(
                    vocab_size=decoder.vocab_size,
                    num_hidden_layers=layers,
                    hidden_size=width,
                    num_attention_heads=heads,
                    **ids,
                )  # fmt: skip
            )
            self.decoder = decoder
            self.generation_config = GenerationConfig(**ids)
            self.eval() if not decoder.training else self.train()

        def prepare_inputs_for_generation(
            self,
            input_ids: Tensor,
            attention_mask: Tensor | None = None,
            memory: Memory | None = None,
            use_cache: bool = True,
            **kwargs: Any,
        ) -> dict[str, Any]:
            state = kwargs.get(cache_name)
            seen = 0 if state is None else state.get_seq_length()
            return {"input_ids": input_ids[:, seen:], "memory": memory, "state": state if use_cache else None}

        def forward(self, input_ids: Tensor, memory: Memory | None = None, state: Any = None, **kwargs: Any) -> Any:
            output = self.decoder(input_ids, memory, cache=state)
            return CausalLMOutputWithPast(logits=output.logits_RTV, **{cache_name: state})

    return Driver
