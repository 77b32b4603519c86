"""Reads .tgz and .deb archives without outside programs; no member may leave its folder."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from omni.errors import InputError

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


def safe_name(name: str, archive: str) -> str:
    """The member's relative path without "./"; raises InputError if it is absolute or climbs out of its folder."""
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part != "."]
    if path.is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise InputError(f"{archive}: member {name!r} would leave the folder; the archive is refused")
    return "/".join(parts)


def read_members(archive: Path, wanted: set[str] | None = None) -> dict[str, bytes]:
    """Regular files of a .tgz, wheel or other zip as bytes by name; ``wanted`` restricts to these names.

    Raises:
        InputError: it is damaged, a name would leave the folder, or one of ``wanted`` is not in it.
    """
    found: dict[str, bytes] = {}
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as parts:
                for entry in parts.infolist():
                    name = safe_name(entry.filename, archive.name)
                    if not entry.is_dir() and (wanted is None or name in wanted):
                        found[name] = parts.read(entry)
        else:
            with tarfile.open(archive, "r:*") as tar:
                for member in tar:
                    name = safe_name(member.name, archive.name)
                    if member.isreg() and (wanted is None or name in wanted):
                        found[name] = tar.extractfile(member).read()
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{archive}: not a readable archive ({error}); fetch the package again") from error
    if wanted is not None and wanted - found.keys():
        raise InputError(f"{archive.name}: lacks {', '.join(sorted(wanted - found.keys())[:5])}")
    return found


def ar_members(data: bytes, archive: str) -> dict[str, bytes]:
    """Members of an ar archive (the outer layer of a .deb) by name."""
    if not data.startswith(_AR_MAGIC):
        raise InputError(f"{archive}: not a Debian package (no ar header); fetch the package again")
    members, offset = {}, len(_AR_MAGIC)
    while offset + _AR_HEADER <= len(data):
        header = data[offset : offset + _AR_HEADER]
        if header[58:60] != b"`\n":
            raise InputError(f"{archive}: damaged ar header at byte {offset}; fetch the package again")
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        body = data[offset + _AR_HEADER : offset + _AR_HEADER + size]
        if len(body) != size:
            raise InputError(f"{archive}: cut off inside member {name!r}; fetch the package again")
        members[name] = body
        offset += _AR_HEADER + size + size % 2
    return members


def unpack_deb(archive: Path, folder: Path) -> None:
    """Unpack the files and inner symbolic links of a .deb below ``folder``."""
    root = folder.resolve()
    with _files_of_deb(archive) as tar:
        for member in tar:
            _unpack_member(tar, member, root, archive.name)


def read_deb_member(archive: Path, wanted: str) -> bytes:
    """One regular file of a .deb; raises InputError if it is not there."""
    with _files_of_deb(archive) as tar:
        for member in tar:
            if safe_name(member.name, archive.name) == wanted and member.isreg():
                return tar.extractfile(member).read()
    raise InputError(f"{archive.name}: lacks {wanted}")


@contextmanager
def _files_of_deb(archive: Path) -> Iterator[tarfile.TarFile]:
    members = ar_members(archive.read_bytes(), archive.name)
    name = next((name for name in members if name.startswith("data.tar")), None)
    if name is None:
        raise InputError(f"{archive.name}: no data.tar inside; fetch the package again")
    try:
        with tarfile.open(fileobj=io.BytesIO(members[name]), mode="r:*") as tar:
            yield tar
    except (tarfile.TarError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{archive.name}: {name} cannot be read ({error}); fetch the package again") from error


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path, archive: str) -> None:
    relative = safe_name(member.name, archive)
    target = root / relative
    if not relative:  # "./", the folder itself
        return
    if not target.parent.resolve().is_relative_to(root):
        raise InputError(f"{archive}: member {member.name!r} goes through a link out of the folder; refused")
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
    elif member.isreg():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(tar.extractfile(member).read())
        target.chmod(0o755 if member.mode & 0o111 else 0o644)
    elif member.issym():
        inside = os.path.normpath(os.path.join(os.path.dirname(relative), member.linkname))
        if os.path.isabs(member.linkname) or inside.startswith(".."):
            return  # links into the system (alternatives, /etc) are not needed
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(member.linkname)
