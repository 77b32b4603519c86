"""Heads that give tokens: the loss, masks, probabilities, and generation against exhaustive search."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.heads.token_head import TokenHead
from omni.types import CoreOutput

pytest.importorskip("transformers")
BEGIN, PAD, END, MASK = 0, 1, 2, 3
TOY = dict(vocabulary="word", vocab_size=7, begin_id=BEGIN, pad_id=PAD, end_id=END, mask_id=MASK, max_length=5)


def head(spread=1.2, **settings):
    torch.manual_seed(3)
    made = TokenHead(width=16, **{**TOY, **settings}).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=spread * parameter.shape[-1] ** -0.5)
    return made


def core_output(batch=3, length=4, seed=0, padded=False):
    hidden = torch.randn(batch, length, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    valid = torch.ones(batch, length, dtype=torch.bool)
    if padded:
        valid[1, 2:] = False
    return CoreOutput(hidden_BLD=hidden, valid_BL=valid, spans={"a": slice(0, length)}, pooled={"a": hidden[:, 0]})


def rows_of(output, row):
    real = int(output.valid_BL[row].sum())
    hidden = output.hidden_BLD[row : row + 1, :real]
    return CoreOutput(
        hidden_BLD=hidden, valid_BL=torch.ones(1, real, dtype=torch.bool), spans={"a": slice(0, real)},
        pooled={"a": hidden[:, 0]},
    )  # fmt: skip


def sequences(made, most):
    """Every sequence of at most ``most`` tokens: those that end with the end token, and the full ones that do not."""
    others = [i for i in range(made.decoder.vocab_size) if i != END]
    for length in range(most):
        for body in itertools.product(others, repeat=length):
            yield [*body, END]
    yield from map(list, itertools.product(others, repeat=most))


def test_loss_is_the_mean_over_real_tokens():
    made, output = head(), core_output()
    ids = torch.tensor([[4, 5, END, PAD], [6, END, PAD, PAD], [4, 4, 5, END]])
    valid = ids != PAD
    found = made(output, {"ids_BL": ids, "valid_BL": valid})
    total = 0.0
    for row in range(3):
        real = ids[row][valid[row]]
        shown = torch.cat([torch.tensor([BEGIN]), real[:-1]])[None]
        logits = made.decode(rows_of(output, row), shown).logits_RTV[0]
        total += F.cross_entropy(logits, real, reduction="sum").item()
    assert found.loss.item() == pytest.approx(total / 9, abs=1e-10) and found.count == 9
    probabilities = made.log_probs(output, [[4, 5, END], [6, END]])
    assert -(probabilities[0, 0] + probabilities[1, 1]).item() == pytest.approx(
        total + made.log_probs(output, [[4, 4, 5, END]])[2, 0].item(), abs=1e-9
    )


def test_what_stands_in_padding_changes_nothing():
    made, output = head(), core_output()
    ids = torch.tensor([[4, 5, END, PAD], [6, END, PAD, PAD], [4, 4, 5, END]])
    valid = ids != PAD
    first = made(output, {"ids_BL": ids, "valid_BL": valid}).loss
    second = made(output, {"ids_BL": ids.masked_fill(~valid, 6), "valid_BL": valid}).loss
    assert first.item() == pytest.approx(second.item(), abs=1e-12)


def test_probabilities_of_all_sequences_add_up_to_one():
    made = head(max_length=4)
    found = made.log_probs(core_output(), list(sequences(made, 3)))
    torch.testing.assert_close(found.exp().sum(1), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("padded", [False, True])
def test_greedy_takes_the_likeliest_token_each_time(padded):
    made, output = head(), core_output(padded=padded)
    for row, item in enumerate(made.predict(output, num_beams=1)):
        ids = [BEGIN]
        while len(ids) < 5 and ids[-1] != END:
            logits = made.decode(rows_of(output, row), torch.tensor([ids])).logits_RTV[0, -1]
            ids.append(int(logits.argmax()))
        assert item.value == [i for i in ids if i not in (BEGIN, END, PAD)]
        counted = made.log_probs(rows_of(output, row), [ids[1:]])[0, 0].item() / (len(ids) - 1)
        assert item.score == pytest.approx(counted, abs=1e-9)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_wide_beams_find_the_best_of_all_sequences(penalty):
    made, output = head(max_length=4), core_output(padded=True)
    everything = list(sequences(made, 3))
    scores = made.log_probs(output, everything)
    lengths = torch.tensor([len(item) for item in everything], dtype=torch.float64)
    best = (scores / lengths**penalty).argmax(1).tolist()
    found = made.predict(output, num_beams=200, length_penalty=penalty, early_stopping="never")
    for item, place in zip(found, best, strict=True):
        assert item.value == [i for i in everything[place] if i not in (BEGIN, END, PAD)]
    narrow = made.predict(output, num_beams=2, length_penalty=0.0)
    wide = made.predict(output, num_beams=200, length_penalty=0.0)
    assert len(narrow) == len(wide) == 3


def test_a_batch_gives_what_each_sample_gives_alone():
    made, output = head(), core_output(padded=True)
    together = made.predict(output, num_beams=3)
    for row, item in enumerate(together):
        (alone,) = made.predict(rows_of(output, row), num_beams=3)
        assert item.value == alone.value and item.score == pytest.approx(alone.score, abs=1e-9)


@pytest.mark.parametrize("beams", [1, 3])
def test_every_token_is_decoded_once(beams, monkeypatch):
    made, lengths = head(), []
    whole = type(made.decoder).forward

    def counting(self, ids, memory=None, *, cache=None):
        lengths.append((ids.shape[1], None if cache is None else cache.get_seq_length()))
        return whole(self, ids, memory, cache=cache)

    monkeypatch.setattr(type(made.decoder), "forward", counting)
    made.predict(core_output(), num_beams=beams, min_new_tokens=4)
    *steps, rescored = lengths
    assert [length for length, _ in steps] == [1] * 4 and [seen for _, seen in steps] == [0, 1, 2, 3]
    assert rescored == (4, None)


def test_sampling_follows_the_seed_and_leaves_the_callers_state_alone():
    made, output = head(), core_output()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    draws = [[item.value for item in made.predict(output, num_beams=1, do_sample=True, seed=s)] for s in (1, 1, 2, 3)]
    assert torch.equal(torch.get_rng_state(), before)
    assert draws[0] == draws[1] and len({str(draw) for draw in draws}) > 1


def test_samples_have_the_probabilities_of_the_model():
    made, output = head(max_length=2), core_output(batch=1)
    (first,) = made.predict(output, num_beams=1, do_sample=True, seed=0, num_return_sequences=4000, top_k=0)
    tokens = [item.value for item in [first, *first.details["others"]]]
    chances = made.decode(output, torch.tensor([[BEGIN]])).logits_RTV[0, -1].softmax(-1)
    for token in range(3, 7):
        expected = chances[token].item()
        share = sum(value == [token] for value in tokens) / 4000
        assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 4000) ** 0.5 + 1e-3)


def test_masked_training_predicts_only_what_was_chosen():
    made, output = head(training="masked", mask_share=0.6), core_output(batch=400)
    ids = torch.randint(4, 7, (400, 4))
    valid = torch.ones_like(ids, dtype=torch.bool)
    valid[::2, 2:] = False
    torch.manual_seed(0)
    chosen, shown = made._masked(ids, valid)
    assert not (chosen & ~valid).any() and chosen.any(1).all()
    kept = ~chosen
    assert torch.equal(shown[kept], ids[kept])
    share = (shown[chosen] == MASK).double().mean().item()
    assert share == pytest.approx(0.8 + 0.1 / 7, abs=0.04)
    found = made(output, {"ids_BL": ids, "valid_BL": valid})
    assert found.loss.requires_grad and 0 < found.count < int(valid.sum())
    with pytest.raises(ConfigError, match="no probability"):
        made.log_probs(output, [[4, END]])
    assert len(made.predict(output, max_new_tokens=3)) == 400


def test_refusals():
    made, output = head(), core_output()
    with pytest.raises(InputError, match="trained on ids_BL"):
        made(output)
    with pytest.raises(InputError, match="the id 9"):
        made(output, {"ids_BL": torch.tensor([[9]] * 3), "valid_BL": torch.ones(3, 1, dtype=torch.bool)})
    with pytest.raises(ConfigError, match="5 places|4 places"):
        made.predict(output, max_new_tokens=9)
    with pytest.raises(ConfigError, match="generation"):
        made.predict(output, beam_width=3)
    with pytest.raises(ConfigError, match="marks below vocab_size"):
        head(vocab_size=2)
