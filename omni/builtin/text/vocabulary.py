"""Constants of the shipped vocabulary."""

from __future__ import annotations

from pathlib import Path

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
PAD_ID = 1
END_ID = 2
VOCAB_SIZE = 16384
BPE_FILE = Path(__file__).with_name("bpe.json")
