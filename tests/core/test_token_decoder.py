"""The decoder: causality, caches, padding of the memory, halves, gates, bottleneck."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from omni.core.token_decoder import TokenCache, TokenDecoder
from omni.errors import ConfigError, InputError

VOCABULARY = 11


def decoder(**settings):
    torch.manual_seed(0)
    sizes = dict(width=16, num_layers=3, num_heads=2, ffn_width=24, vocab_size=VOCABULARY, max_length=12)
    made = TokenDecoder(**{**sizes, **settings}).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    return made


def states(batch=2, length=5, width=16, seed=1):
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tokens(rows=2, length=6, seed=2):
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_no_token_sees_what_comes_after_it():
    made, ids = decoder(), tokens()
    memory = made.read(states())
    whole = made(ids, memory).logits_RTV
    for length in range(1, 6):
        other = ids.clone()
        other[:, length:] = (other[:, length:] + 1) % VOCABULARY
        found = made(other, memory).logits_RTV
        torch.testing.assert_close(found[:, :length], whole[:, :length], atol=1e-12, rtol=0)
        assert not torch.allclose(found[:, length], whole[:, length])


@pytest.mark.parametrize("pieces", [[1] * 6, [3, 3], [2, 1, 3]])
def test_a_cache_changes_nothing(pieces):
    made, ids, cache = decoder(num_unimodal_layers=1), tokens(), TokenCache()
    memory, found = made.read(states()), []
    for part in ids.split(pieces, 1):
        found.append(made(part, memory, cache=cache).logits_RTV)
    torch.testing.assert_close(torch.cat(found, 1), made(ids, memory).logits_RTV, atol=1e-12, rtol=0)
    assert cache.get_seq_length() == 6


def test_padding_of_the_memory_is_not_read():
    made, ids, hidden = decoder(), tokens(), states()
    valid = torch.tensor([[True] * 5, [True, True, True, False, False]])
    found = made(ids, made.read(hidden, valid)).logits_RTV
    torch.testing.assert_close(found[:1], made(ids[:1], made.read(hidden[:1])).logits_RTV)
    torch.testing.assert_close(found[1:], made(ids[1:], made.read(hidden[1:, :3])).logits_RTV)
    with pytest.raises(InputError, match="without any real token"):
        made.read(hidden, torch.zeros_like(valid))


@pytest.mark.parametrize("cross", ["all", "bottleneck"])
def test_beams_share_the_memory_of_their_sample(cross):
    made = decoder(bottleneck=3 if cross == "bottleneck" else 0)
    hidden, ids = states(), tokens(rows=6)
    valid = torch.tensor([[True] * 5, [True, True, False, False, False]])
    shared = made(ids, made.read(hidden, valid)).logits_RTV
    spread = made(ids, made.read(hidden.repeat_interleave(3, 0), valid.repeat_interleave(3, 0))).logits_RTV
    torch.testing.assert_close(shared, spread, atol=1e-12, rtol=0)
    with pytest.raises(InputError, match="5 rows for a memory of 2"):
        made(ids[:5], made.read(hidden))


def test_half_precision_reads_a_padded_memory():
    made, ids = decoder().float(), tokens()
    hidden, valid = states().float(), torch.tensor([[True] * 5, [True, True, False, False, False]])
    with torch.autocast("cpu", torch.bfloat16):
        found = made(ids, made.read(hidden, valid)).logits_RTV
    exact = made(ids, made.read(hidden, valid)).logits_RTV
    assert (found.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_the_unimodal_half_does_not_read_the_memory():
    made, ids = decoder(num_unimodal_layers=2), tokens()
    first, second = (made(ids, made.read(states(seed=seed))) for seed in (1, 5))
    assert torch.equal(first.unimodal_RTD, second.unimodal_RTD)
    assert not torch.allclose(first.logits_RTV, second.logits_RTV)
    assert [layer.cross is None for layer in made.layers] == [True, True, False]


def test_a_fresh_gate_is_shut_and_opens():
    made, ids = decoder(gate=True), tokens()
    alone = made(ids).logits_RTV
    torch.testing.assert_close(made(ids, made.read(states())).logits_RTV, alone, atol=1e-12, rtol=0)
    made(ids, made.read(states())).logits_RTV.square().sum().backward()
    assert all(layer.cross.gate.grad.abs() > 0 for layer in made.layers)
    with torch.no_grad():
        made.layers[0].cross.gate.fill_(0.5)
    assert not torch.allclose(made(ids, made.read(states())).logits_RTV, alone)


def test_a_bottleneck_reads_a_memory_of_any_length():
    made = decoder(bottleneck=3)
    memory = made.read(states(length=9))
    assert memory.keys_values[0][0].shape == (2, 2, 3, 8) and memory.valid_B11L is None


def test_one_attention_by_hand():
    """One layer, one head: the cross-attention is softmax(q k / sqrt(d)) v through norm and output."""
    made = decoder(num_layers=1, num_heads=1)
    cross, hidden, x = made.layers[0].cross, states(), states(length=3, seed=9)
    keys, values = cross.read(hidden)
    q = cross.query(x)
    weights = (q @ keys[:, 0].transpose(1, 2) / 16**0.5).softmax(-1)
    expected = cross.out(nn.functional.layer_norm(weights @ values[:, 0], (16,), cross.norm.weight, cross.norm.bias))
    torch.testing.assert_close(cross(x, (keys, values), None), expected)


def test_tied_logits_use_the_embedding():
    made = decoder()
    output = made(tokens(), made.read(states()))
    torch.testing.assert_close(output.logits_RTV, output.hidden_RTD @ made.embedding.weight.T)
    assert decoder(tied=False).out.weight.shape == (VOCABULARY, 16)


def test_misfits_are_refused():
    for settings in ({"num_heads": 3}, {"vocab_size": 1}, {"num_unimodal_layers": 4}, {"bottleneck": -1}):
        with pytest.raises(ConfigError, match="token decoder"):
            decoder(**settings)
    made = decoder()
    with pytest.raises(InputError, match="13 tokens.*12 places"):
        made(tokens(length=13))
