"""Frees a shared library from libraries that are not there and whose functions are never called.

libpcaudio plays sound through PulseAudio or ALSA. espeak-ng links it but, writing to a file, plays nothing; so the
unpacked copy is made to load without them, instead of fetching some thirty more packages.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from omni.errors import InputError

_NEEDED, _STRTAB, _SYMTAB, _VERNEED, _DYNAMIC, _LOAD = 1, 5, 6, 0x6FFFFFFE, 2, 1
_WEAK = 2
_RETURN_ZERO = b"\x31\xc0\xc3"  # x86-64: xor eax, eax; ret
_SYMBOL_BYTES, _DYN_BYTES = 24, 16


@dataclass(frozen=True, kw_only=True)
class _Dynamic:
    """One entry of the dynamic section: where it lies in the file, its tag and value."""

    place: int
    tag: int
    value: int


def free_of(data: bytes, unwanted: tuple[str, ...], *, null: str, stand_in: str = "libc.so.6") -> bytes:
    """A copy of an x86-64 ELF library that no longer needs libraries whose names start with ``unwanted``.

    Their entries name ``stand_in`` instead, which must be needed already; their version requirements are unlinked; each
    undefined symbol becomes weak, so that one that nobody provides is null rather than an error; and the library's own
    function ``null``, which would call them, returns 0 at once.

    Raises:
        InputError: not such a library.
    """
    if data[:6] != b"\x7fELF\x02\x01" or data[18:20] != b"\x3e\x00":
        raise InputError("libpcaudio: not an x86-64 ELF library; install espeak-ng so that it is on the PATH")
    image = bytearray(data)
    loads, dynamic = _segments(image)
    table = {entry.tag: entry.value for entry in dynamic}
    strings = _file_place(loads, table[_STRTAB])
    needed = {_string(image, strings + entry.value): entry for entry in dynamic if entry.tag == _NEEDED}
    for name, entry in needed.items():
        if name.startswith(unwanted):
            struct.pack_into("<Q", image, entry.place + 8, needed[stand_in].value)
    if _VERNEED in table:
        _unlink_versions(image, _file_place(loads, table[_VERNEED]), strings, unwanted)
    symbols = _file_place(loads, table[_SYMTAB])
    # the string table follows the symbol table in every linker's layout
    for place in range(symbols + _SYMBOL_BYTES, strings, _SYMBOL_BYTES):
        name, info, _, section, address = struct.unpack_from("<IBBHQ", image, place)
        if section == 0:
            image[place + 4] = _WEAK << 4 | info & 15
        elif _string(image, strings + name) == null:
            at = _file_place(loads, address)
            image[at : at + len(_RETURN_ZERO)] = _RETURN_ZERO
    return bytes(image)


def _segments(image: bytearray) -> tuple[list[tuple[int, int, int]], list[_Dynamic]]:
    """Loaded segments as (address, file place, bytes), and the dynamic section."""
    start, size, count = (struct.unpack_from(code, image, at)[0] for code, at in (("<Q", 32), ("<H", 54), ("<H", 56)))
    loads, dynamic = [], []
    for place in range(start, start + size * count, size):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", image, place)
        if kind == _LOAD:
            loads.append((address, offset, length))
        elif kind == _DYNAMIC:
            for at in range(offset, offset + length, _DYN_BYTES):
                dynamic.append(_Dynamic(place=at, tag=_word(image, at), value=_word(image, at + 8)))
    return loads, dynamic


def _unlink_versions(image: bytearray, first: int, strings: int, unwanted: tuple[str, ...]) -> None:
    """Drop the version requirements on unwanted libraries from the linked list that starts at ``first``."""
    records, place = [], first
    while True:
        _, count, name, extra, step = struct.unpack_from("<HHIII", image, place)
        records.append((place, count, name, extra, _string(image, strings + name)))
        if step == 0:
            break
        place += step
    kept = [record for record in records if not record[4].startswith(unwanted)]
    # the list starts at a fixed place: move the first kept record there, its own list stays where it is
    for number, (place, count, name, extra, _) in enumerate(kept):
        at = first if number == 0 else place
        step = kept[number + 1][0] - at if number + 1 < len(kept) else 0
        struct.pack_into("<HHIII", image, at, 1, count, name, place + extra - at, step)


def _file_place(loads: list[tuple[int, int, int]], address: int) -> int:
    for start, offset, length in loads:
        if start <= address < start + length:
            return address - start + offset
    raise InputError("libpcaudio: damaged dynamic section; fetch the package again")


def _word(image: bytearray, place: int) -> int:
    return struct.unpack_from("<Q", image, place)[0]


def _string(image: bytearray, place: int) -> str:
    return image[place : image.index(0, place)].decode()
