"""Opening files: only regular ones of a sane size, and what kind they are by their first bytes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from omni.errors import InputError

MOST_BYTES = 1 << 31
KINDS = {
    ".hea": "wfdb", ".dat": "wfdb", ".mat": "wfdb", ".dcm": "dicom", ".dicom": "dicom", ".edf": "edf", ".bdf": "edf",
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".npy": "numpy", ".npz": "numpy",
}  # fmt: skip
KNOWN = "Known are WFDB (.hea with its signal files), DICOM, EDF, BDF, CSV and NumPy (.npy, .npz)."


def checked_path(value: str | os.PathLike[str]) -> Path:
    """The path of a regular file that can be opened.

    Raises:
        InputError: an address, a folder, a pipe or device, missing, empty, too large, unreadable, a loop of links.
    """
    text = os.fspath(value)
    if isinstance(text, bytes):
        raise InputError("An ECG's path must be text, not bytes; bytes are read as the contents of a file.")
    if "://" in text[:12]:
        raise InputError(f"ECG {text!r} is an address, not a file; download it first and give its path.")
    path = Path(text)
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(f"There is no ECG {text!r}; check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"ECG {text!r} cannot be read: {error}.") from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"ECG {text!r} is a folder; give a file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"ECG {text!r} is a pipe or device, not a file; save it to a file first.")
    if found.st_size == 0:
        raise InputError(f"ECG {text!r} is empty (0 bytes); export it again.")
    if found.st_size > MOST_BYTES:
        raise InputError(f"ECG {text!r} has {found.st_size} bytes, more than {MOST_BYTES}; cut it into pieces.")
    return path


def read_bytes(path: Path) -> bytes:
    """All of it.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"ECG {str(path)!r} cannot be read: {error}.") from error


def kind_of(data: bytes, *, suffix: str, name: str) -> str:
    """ "dicom", "edf", "numpy" or "csv": by the first bytes, else by the ending.

    Raises:
        InputError: neither is known.
    """
    if data[128:132] == b"DICM":
        return "dicom"
    if data[:8] in (b"0       ", b"\xffBIOSEMI"):
        return "edf"
    if data[:6] == b"\x93NUMPY" or data[:4] == b"PK\x03\x04":
        return "numpy"
    kind = KINDS.get(suffix.lower())
    if kind in ("dicom", "edf", "numpy"):
        raise InputError(
            f"The {name} does not start like a file of its kind ({suffix}); copy or export it again. {KNOWN}"
        )
    if kind == "csv" or (not suffix and _is_text(data)):
        if not _is_text(data):
            raise InputError(f"The {name} is called a table but is not text; export it again. {KNOWN}")
        return "csv"
    raise InputError(f"The {name} is of no known kind. {KNOWN}")


def _is_text(data: bytes) -> bool:
    start = data[:4096]
    return b"\x00" not in start and sum(byte < 9 for byte in start) == 0
