"""Writes embeddings part by part into one .npz or .safetensors file, whatever their number, in constant memory."""

from __future__ import annotations

import json
import os
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from omni.errors import InputError, OmniError

ENDINGS = (".npz", ".safetensors")
MAX_HEADER = 100_000_000  # bytes; the safetensors library reads no longer one


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Embeddings that will be written: ``blocks()`` gives arrays (n, E) float32, N rows together."""

    count: int
    width: int
    blocks: Callable[[], Iterable[np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names that will be written: ``blocks()`` gives lists of strings, N together, none longer than ``longest``."""

    count: int
    longest: int
    blocks: Callable[[], Iterable[list[str]]]


def check_ending(path: Path) -> None:
    """Raise InputError unless the file's name ends as one of the formats does."""
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"--output {str(path)!r}: the name must end with {' or '.join(ENDINGS)}.")


def write_embeddings(path: Path, rows: dict[str, Rows], names: dict[str, Names]) -> None:
    """Write the file; it appears when it is complete. The same content gives the same bytes.

    Raises:
        OmniError: it cannot be written. InputError: too many names for a safetensors header.
    """
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            (_write_npz if path.suffix.lower() == ".npz" else _write_safetensors)(file, rows, names)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OmniError(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_npz(file: BinaryIO, rows: dict[str, Rows], names: dict[str, Names]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for slot, value in rows.items():
            _write_member(archive, slot, (value.count, value.width), np.dtype("<f4"), value.blocks())
        for name, texts in names.items():
            dtype = np.dtype(f"<U{max(1, texts.longest)}")
            blocks = (np.asarray(block, dtype=dtype) for block in texts.blocks())
            _write_member(archive, name, (texts.count,), dtype, blocks)


def _write_member(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype, blocks: Iterable[np.ndarray]
) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    # ZipInfo's own date, 1980: the time of writing would make every file different
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)  # type: ignore[arg-type]
        for block in blocks:
            member.write(np.ascontiguousarray(block, dtype=dtype).tobytes())


def _write_safetensors(file: BinaryIO, rows: dict[str, Rows], names: dict[str, Names]) -> None:
    """The format by hand: the library writes only tensors that are in memory as a whole."""
    header: dict[str, object] = {"__metadata__": {name: _json_list(texts) for name, texts in names.items()}}
    offset = 0
    for slot, value in rows.items():
        end = offset + 4 * value.count * value.width
        header[slot] = {"dtype": "F32", "shape": [value.count, value.width], "data_offsets": [offset, end]}
        offset = end
    content = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    if len(content) > MAX_HEADER:
        raise InputError(
            f"The names of the items take {len(content) / 1e6:.0f} MB, more than a .safetensors file may have beside "
            f"its numbers ({MAX_HEADER / 1e6:.0f} MB). Write an .npz file."
        )
    content += b" " * (-len(content) % 8)
    file.write(len(content).to_bytes(8, "little") + content)
    for value in rows.values():
        for block in value.blocks():
            file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())


def _json_list(texts: Names) -> str:
    def every() -> Iterator[str]:
        for block in texts.blocks():
            yield from block

    return json.dumps(list(every()))
