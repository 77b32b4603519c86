"""A TokenDecoder as the model that transformers' ``generate`` drives; the one module here that imports transformers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from omni.core.token_decoder import Memory, TokenDecoder

_KNOWN = {field.name for field in fields(CausalLMOutputWithPast)}
CACHE_NAME = "cache" if "cache" in _KNOWN else "past_key_values"  # as older releases of transformers call it


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
        state = kwargs.get(CACHE_NAME)
        seen = 0 if state is None else state.get_seq_length()
        return {"input_ids": input_ids[:, seen:], "memory": memory, "state": state if use_cache else None}

    def forward(self, input_ids: Tensor, memory: Memory | None = None, state: Any = None, **kwargs: Any) -> Any:
        output = self.decoder(input_ids, memory, cache=state)
        return CausalLMOutputWithPast(logits=output.logits_RTV, **{CACHE_NAME: state})
