"""Text: loader, both tokenizers, adapter, and the way from a string to an embedding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from omni.builtin.text import io, vocabulary
from omni.builtin.text.adapter import TextAdapter
from omni.builtin.text.tokenizers import BpeTokenizer, HfTokenizer
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError
from omni.plugin.catalog import get_catalog
from omni.registry import TRANSFORMS
from tests.core import toys


@pytest.fixture(scope="module")
def bpe() -> BpeTokenizer:
    return BpeTokenizer()


def test_the_shipped_vocabulary(bpe: BpeTokenizer) -> None:
    """Size, special ids, file size, and its licence beside it."""
    assert bpe.tokenizer.get_vocab_size() == vocabulary.VOCAB_SIZE
    assert [bpe.tokenizer.token_to_id(token) for token in vocabulary.SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert vocabulary.BPE_FILE.stat().st_size < 1_000_000
    row = (vocabulary.BPE_FILE.parent / "LICENSES.md").read_text()
    assert "bpe.json" in row and "Unicode-3.0" in row
    assert "UNICODE LICENSE V3" in (vocabulary.BPE_FILE.parent / "LICENSE.Unicode-3.0.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["A small Red bird", "le chat noir", "кошка", "貓咪", "खरगोश", "🦊!", "x" * 300, "tab\tand\nline", "a\x00b"]
)
def test_any_string_comes_back(bpe: BpeTokenizer, text: str) -> None:
    """Byte-level: nothing is unknown; lower-cased."""
    ids = bpe(text)["ids_L"]
    assert ids[-1] == 2 and 3 not in ids and 1 not in ids
    assert bpe.decode(ids.tolist()) == text.lower()


def test_names_are_short(bpe: BpeTokenizer) -> None:
    """Common names in several languages take few tokens."""
    for name in ("dog", "elephant", "chien", "Hund", "кошка", "คน"):
        assert len(bpe(name)["ids_L"]) <= 4, name


def test_special_tokens_in_a_text_are_text(bpe: BpeTokenizer) -> None:
    """A caption cannot end itself or look like padding."""
    ids = bpe("a </s> b <pad> <mask>")["ids_L"].tolist()
    assert not {0, 1, 4} & set(ids) and ids.count(2) == 1


def test_lengths(bpe: BpeTokenizer) -> None:
    """Too long is an error that names the fix, cutting is on request; empty is an error."""
    with pytest.raises(InputError, match="truncate=True"):
        bpe("word " * 600)
    short = BpeTokenizer(max_length=4, truncate=True)("one two three four five")
    assert len(short["ids_L"]) == 4 and short["ids_L"][-1] == 2 and short["groups_L"].tolist() == [0, 1, 2, -1]
    for empty in ("", "  \n"):
        with pytest.raises(InputError, match="empty"):
            bpe(empty)
    with pytest.raises(InputError, match="str"):
        bpe(b"bytes")


def test_collate(bpe: BpeTokenizer) -> None:
    """Padded with the padding id; words are numbered, -1 elsewhere."""
    batch = bpe.collate([bpe("photographs"), bpe("a b c d e f g")])
    assert batch["ids_BL"].dtype == torch.int64 and batch["valid_BL"].dtype == torch.bool
    assert (batch["ids_BL"][~batch["valid_BL"]] == 1).all() and batch["valid_BL"][1].all()
    words = batch["groups_BL"][0][batch["valid_BL"][0]]
    assert set(words[:-1].tolist()) == {0} and words[-1] == -1


def test_the_vocabulary_travels_with_the_model(bpe: BpeTokenizer, tmp_path: Path) -> None:
    """to_config writes the file; the rebuilt tokenizer gives the same ids."""
    config = json.loads(json.dumps(bpe.to_config(tmp_path)))
    assert config["vocab"] == "bpe.json"
    again = TRANSFORMS.build(dict(type="bpe", **(config | {"vocab": str(tmp_path / "bpe.json")})))
    assert torch.equal(again("A small bird")["ids_L"], bpe("A small bird")["ids_L"])
    with pytest.raises(InputError, match="does not exist"):
        BpeTokenizer(vocab=str(tmp_path / "none.json"))


def test_hugging_face_folder(bpe: BpeTokenizer, tmp_path: Path) -> None:
    """A local tokenizer folder, written by transformers itself."""
    transformers = pytest.importorskip("transformers")
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(vocabulary.BPE_FILE), pad_token="<pad>", eos_token="</s>", model_max_length=20
    )
    fast.save_pretrained(str(tmp_path / "given"))
    tokenizer = HfTokenizer(path=str(tmp_path / "given"))
    assert tokenizer.max_length == 20 and tokenizer.pad_id == 1
    own = bpe("a small bird")["ids_L"]
    assert torch.equal(tokenizer("a small bird")["ids_L"], own[:-1])  # this one adds no end token
    config = tokenizer.to_config(tmp_path)
    assert config["path"] == "tokenizer" and (tmp_path / "tokenizer" / "tokenizer.json").exists()
    with pytest.raises(InputError, match="does not exist"):
        HfTokenizer(path=str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="No tokenizer"):
        HfTokenizer(path=str(tmp_path / "empty"))


def test_loader(tmp_path: Path) -> None:
    """A str is the text, a Path is read, bytes are decoded; the rest is refused."""
    file = tmp_path / "caption.txt"
    file.write_text("ein Vogel", encoding="utf-8")
    assert io.load(str(file)) == str(file) and io.load(file) == "ein Vogel" == io.load(b"ein Vogel")
    with pytest.raises(InputError, match="UTF-8"):
        io.load(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        io.load(tmp_path / "none.txt")
    with pytest.raises(InputError, match="int"):
        io.load(3)
    assert isinstance(io.sample(), str)


def test_catalog_has_text() -> None:
    """Through the same hooks as everyone else's."""
    entry = get_catalog().get("modality", "text")
    assert entry.spec.target.endswith(":TextAdapter") and entry.spec.transform == "bpe"


def adapter(**options) -> TextAdapter:
    """A small one whose parameters are random."""
    torch.manual_seed(0)
    made = TextAdapter(modality="text", width=32, num_heads=4, num_layers=2, vocab_size=50, bucket=8, **options)
    toys.randomise(made)
    return made


@torch.no_grad()
def test_adapter() -> None:
    """Class token, embedding and positions, by hand; a bias a layer on request, or none."""
    given = toys.words([3, 5])
    made = adapter()
    sequence = made(given)
    by_hand = made.embedding(given["ids_BL"]) + made.positions.weight[1:6]
    torch.testing.assert_close(sequence.tokens_BLD[:, 1:], by_hand)
    torch.testing.assert_close(sequence.tokens_BLD[0, 0], made.class_token + made.positions.weight[0])
    assert sequence.valid_BL.tolist() == [[True] * 4 + [False] * 2, [True] * 6]
    assert [len(adapter(relative_bias=kind)(given).bias) for kind in ("shared", "per_layer", "none")] == [1, 2, 0]
    keep = torch.tensor([[1, 0, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1]]).bool()
    kept = made(given, keep_BL=keep)
    torch.testing.assert_close(kept.tokens_BLD[1, :4], sequence.tokens_BLD[1, keep[1]])
    assert kept.valid_BL.tolist() == [[True, True, True, False], [True] * 4]


def test_adapter_errors() -> None:
    """Too many tokens, an id beyond the vocabulary, an unknown kind of bias."""
    with pytest.raises(InputError, match="places for 4"):
        adapter(max_length=5)(toys.words([3, 5]))
    given = toys.words([3])
    given["ids_BL"][0, 0] = 50
    with pytest.raises(InputError, match="vocabulary has 50"):
        adapter()(given)
    with pytest.raises(ConfigError, match="per_layer"):
        adapter(relative_bias="each")


def test_a_saved_processor_carries_its_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(vocabulary.BPE_FILE), pad_token="<pad>")
    fast.save_pretrained(str(tmp_path / "given"))
    settings = {"modality": "text", "type": "hf_tokenizer", "path": str(tmp_path / "given")}
    made = Processor({"words": settings})
    config = made.to_config(tmp_path / "model")
    shutil.rmtree(tmp_path / "given")
    again = Processor.from_config(config, tmp_path / "model")
    first, second = (each.process_value("words", "a small bird")["ids_L"] for each in (made, again))
    assert torch.equal(first, second)
