"""Opening files: only regular ones of a sane size, of a known kind, and as long as they say."""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path

from omni.errors import InputError
from omni_plugin_pointcloud.cloud import MOST_POINTS

MOST_BYTES = 1 << 30
KINDS = {
    ".ply": "ply", ".obj": "obj", ".glb": "glb", ".stl": "stl", ".off": "off", ".xyz": "text", ".txt": "text",
    ".npy": "numpy", ".npz": "numpy",
}  # fmt: skip
KNOWN = "Known are PLY, OBJ, GLB, STL, OFF, text (.xyz, .txt) and NumPy (.npy, .npz)."
_OFF = re.compile(rb"\s*C?OFF(?=[\s\d#-])")
_GLB_HEADER, _STL_HEADER, _STL_FACE = 12, 84, 50


def checked_path(value: str | os.PathLike[str]) -> Path:
    """The path of a regular file that can be opened.

    Raises:
        InputError: an address, a folder, a pipe or device, missing, empty, too large, unreadable, a loop of links.
    """
    text = os.fspath(value)
    if isinstance(text, bytes):
        raise InputError("A point cloud's path must be text, not bytes; bytes are read as the contents of a file.")
    if "://" in text[:12]:
        raise InputError(f"Point cloud {text!r} is an address, not a file; download it first and give its path.")
    try:
        found = Path(text).stat()
    except FileNotFoundError:
        raise InputError(f"There is no point cloud {text!r}; check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"Point cloud {text!r} cannot be read: {error}.") from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"Point cloud {text!r} is a folder; give a file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"Point cloud {text!r} is a pipe or device, not a file; save it to a file first.")
    if found.st_size == 0:
        raise InputError(f"Point cloud {text!r} is empty (0 bytes); export it again.")
    if found.st_size > MOST_BYTES:
        raise InputError(f"Point cloud {text!r} has {found.st_size} bytes, more than {MOST_BYTES}; thin it out first.")
    return Path(text)


def read_bytes(path: Path) -> bytes:
    """All of it.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"Point cloud {str(path)!r} cannot be read: {error}.") from error


def kind_of(data: bytes, *, suffix: str, name: str) -> str:
    """The kind, by the first bytes; formats that have no mark at their beginning by the ending.

    Raises:
        InputError: it is of no known kind, or does not start like what its ending says.
    """
    found = _by_mark(data)
    said = KINDS.get(suffix.lower())
    if suffix and said is None:
        raise InputError(f"The {name} ends with {suffix!r}, which is not read. {KNOWN}")
    if found is None and said in ("obj", "text", "stl"):
        if b"\x00" in data[:4096] and said != "stl":
            raise InputError(f"The {name} is called text but is not; export it again. {KNOWN}")
        return said
    if found is None or said not in (None, found):
        what = f"starts like {found.upper()}" if found else "does not start like a file of its kind"
        raise InputError(f"The {name} {what}{f' ({suffix})' if suffix else ''}; rename it or export it again. {KNOWN}")
    return found


def _by_mark(data: bytes) -> str | None:
    if re.match(rb"ply\s*[\r\n]", data):
        return "ply"
    if data[:4] == b"glTF":
        return "glb"
    if data[:6] == b"\x93NUMPY" or data[:4] == b"PK\x03\x04":
        return "numpy"
    return "off" if _OFF.match(re.sub(rb"\A(\s*#[^\n]*\n)+", b"", data[:4096])) else None


def check_whole(data: bytes, kind: str, *, name: str) -> None:
    """Check that a mesh file holds what its header announces, before anything is made of that size.

    Raises:
        InputError: it is cut off, of another version, or announces more than MOST_POINTS.
    """
    {"ply": _check_ply, "glb": _check_glb, "stl": _check_stl, "off": _check_off}.get(kind, lambda data, name: None)(
        data, name
    )


def _check_ply(data: bytes, name: str) -> None:
    end = re.search(rb"end_header\s*?\n", data[:65536])
    if end is None:
        raise _cut(name, "its header does not end")
    for element, count in re.findall(rb"element\s+(\w+)\s+(\S+)", data[: end.start()]):
        _count(count, element.decode(), name)
        left = len(data) - end.end()
        if int(count) > left:
            raise _cut(name, f"it announces {int(count)} of {element.decode()} and holds {left} bytes")
    if b"format ascii" in data[: end.start()]:
        wanted = sum(int(count) for count in re.findall(rb"element\s+\w+\s+(\d+)", data[: end.start()]))
        held = len(data[end.end() :].split(b"\n")) - data.endswith(b"\n")
        if held < wanted:
            raise _cut(name, f"it announces {wanted} lines and holds {held}")


def _check_glb(data: bytes, name: str) -> None:
    if len(data) < _GLB_HEADER:
        raise _cut(name, "not even its header is there")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise InputError(f"The {name} is GLB of version {version}; version 2 is read. Export it again.")
    if length > len(data):
        raise _cut(name, f"it announces {length} bytes and has {len(data)}")


def _check_stl(data: bytes, name: str) -> None:
    if data[:5].lower() == b"solid" and b"facet" in data[:1024]:
        if b"endsolid" not in data[-1024:]:
            raise _cut(name, "its solid does not end")
        return
    if len(data) < _STL_HEADER:
        raise InputError(f"The {name} is no STL: neither 'solid' nor a header of {_STL_HEADER} bytes. Export it again.")
    (faces,) = struct.unpack_from("<I", data, 80)
    wanted = _STL_HEADER + _STL_FACE * faces
    if wanted != len(data):
        raise InputError(
            f"The {name} announces {faces} faces, {wanted} bytes, and has {len(data)}; it is cut off or no STL. Copy "
            "or export it again."
        )


def _check_off(data: bytes, name: str) -> None:
    lines = [line for line in (row.split(b"#")[0].strip() for row in data.splitlines()) if line]
    rest = re.sub(rb"\AC?OFF\s*", b"", lines[0])
    lines = [rest, *lines[1:]] if rest else lines[1:]
    counts = lines[0].split() if lines else []
    if len(counts) < 2:
        raise InputError(f"The {name} does not say how many points and faces it has; export it again.")
    points, faces = (_count(counts[place], what, name) for place, what in enumerate(("points", "faces")))
    if len(lines) - 1 < points + faces:
        raise _cut(name, f"it announces {points} points and {faces} faces and holds {len(lines) - 1} lines")


def _count(text: bytes, what: str, name: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = -1
    if not 0 <= count <= MOST_POINTS:
        shown = text[:40].decode(errors="replace")
        raise InputError(f"The {name} announces {shown} of {what}; up to {MOST_POINTS} are read. Export it again.")
    return count


def _cut(name: str, why: str) -> InputError:
    return InputError(f"The {name} is cut off: {why}. Copy or export it again.")
