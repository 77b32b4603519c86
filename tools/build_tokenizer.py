"""Builds omni/builtin/text/bpe.json from the CLDR emoji names and keywords of all languages. Deterministic.

The data is the npm package cldr-annotations-full 48.2.0 (Unicode-3.0). Give its .tgz or an unpacked folder:

    npm pack cldr-annotations-full@48.2.0
    python tools/build_tokenizer.py --from cldr-annotations-full-48.2.0.tgz
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from omni.builtin.text.vocabulary import BPE_FILE, SPECIAL_TOKENS, VOCAB_SIZE

PACKAGE = "cldr-annotations-full 48.2.0"
SHA256 = "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1"
MEMBER = "annotations.json"
REPEATS = {"en": 40}  # of 160 languages, English is what most captions are written in
# Words with their leading space, marks included (GPT-2's pattern would cut Indic words at each vowel sign).
WORDS = r" ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"


def read_locales(source: Path) -> dict[str, dict]:
    """locale -> the parsed annotations file, from the .tgz (its sha256 is checked) or an unpacked folder."""
    if source.is_dir():
        files = sorted(source.rglob(f"annotations/*/{MEMBER}"))
        return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in files}
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{source} is not {PACKAGE}: its sha256 is {digest}, expected {SHA256}.")
    found = {}
    with tarfile.open(source) as archive:
        for member in archive.getmembers():
            parts = member.name.split("/")
            if member.isfile() and len(parts) == 4 and parts[1] == "annotations" and parts[3] == MEMBER:
                found[parts[2]] = json.load(archive.extractfile(member))
    return found


def phrases(locales: dict[str, dict]) -> Iterator[str]:
    """Every name and keyword, locale by locale; regional variants are left out."""
    for locale in sorted(locales):
        if "-" in locale:
            continue
        entries = locales[locale]["annotations"].get("annotations", {})  # some files hold only their identity
        for _ in range(REPEATS.get(locale, 1)):
            for symbol in sorted(entries):
                for field in ("tts", "default"):
                    yield from entries[symbol].get(field, ())


def train(texts: Iterator[str], *, vocab_size: int) -> Tokenizer:
    """A byte-level BPE over lower-cased text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Prepend(" ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path, required=True, help=f"{PACKAGE}, .tgz or folder")
    parser.add_argument("--out", type=Path, default=BPE_FILE)
    options = parser.parse_args()
    tokenizer = train(phrases(read_locales(options.source)), vocab_size=VOCAB_SIZE)
    options.out.write_text(tokenizer.to_str(pretty=False) + "\n", encoding="utf-8")
    print(f"{options.out}: {tokenizer.get_vocab_size()} tokens, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
