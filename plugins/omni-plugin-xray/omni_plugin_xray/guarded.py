"""GDCM in a process of its own: on damaged frames its C++ can end the process that called it.

Run as a module this file is that process: it reads requests from standard input and answers on standard output, each a
length (8 bytes), a JSON line of fields and raw bytes. Only pixels and their layout go there.
"""

from __future__ import annotations

import atexit
import json
import os
import struct
import subprocess
import sys
import threading
from typing import Any, BinaryIO

import numpy as np

FIELDS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
)
SECONDS = 60.0  # for one frame

_lock = threading.Lock()
_worker: tuple[int, subprocess.Popen[bytes]] | None = None


def decode(fields: dict[str, Any], syntax: str, frame: bytes) -> np.ndarray | None:
    """(rows, columns) of one compressed frame; None where it is damaged. Threads take turns.

    Args:
        fields: the FIELDS of the file.
        syntax: UID of the transfer syntax.
        frame: the codestream.
    """
    with _lock:
        worker = _running()
        timer = threading.Timer(SECONDS, worker.kill)
        timer.start()
        try:
            _send(worker.stdin, {"fields": fields, "syntax": syntax}, frame)  # type: ignore[arg-type]
            header, data = _receive(worker.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError, ValueError):  # it ended, or was ended by the timer
            _stop()
            return None
        finally:
            timer.cancel()
    if not header["shape"]:
        return None
    return np.frombuffer(data, header["dtype"]).reshape(header["shape"])


def _running() -> subprocess.Popen[bytes]:
    """The worker of this process; a fork starts another."""
    global _worker
    if _worker is None or _worker[0] != os.getpid() or _worker[1].poll() is not None:
        command = [sys.executable, "-m", "omni_plugin_xray.guarded"]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        _worker = os.getpid(), subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
        atexit.register(_stop)
    return _worker[1]


def _stop() -> None:
    global _worker
    if _worker is not None and _worker[0] == os.getpid():
        process = _worker[1]
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()  # type: ignore[union-attr]
            except OSError:  # what was not sent yet
                pass
    _worker = None


def _send(pipe: BinaryIO, header: dict[str, Any], data: bytes) -> None:
    line = json.dumps(header).encode()
    pipe.write(struct.pack("<II", len(line), len(data)) + line)
    pipe.write(data)
    pipe.flush()


def _receive(pipe: BinaryIO) -> tuple[dict[str, Any], bytes]:
    sizes = pipe.read(8)
    if len(sizes) < 8:
        raise EOFError
    length, count = struct.unpack("<II", sizes)
    header, data = pipe.read(length), pipe.read(count)
    if len(header) < length or len(data) < count:
        raise EOFError
    return json.loads(header), data


def _decoded(fields: dict[str, Any], syntax: str, frame: bytes) -> np.ndarray | None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SamplesPerPixel = 1
    for name in FIELDS:
        setattr(dataset, name, fields[name])
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    try:
        return get_decoder(syntax).as_array(dataset, index=0, raw=True, decoding_plugin="gdcm")[0]
    except Exception:  # a damaged frame that GDCM reports as it should
        return None


def main() -> None:
    """Answer requests until standard input ends."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the C++ prints is no answer
    while True:
        try:
            header, frame = _receive(requests)
        except EOFError:
            return
        values = _decoded(header["fields"], header["syntax"], frame)
        if values is None:
            _send(answers, {"shape": None}, b"")
        else:
            _send(answers, {"shape": values.shape, "dtype": values.dtype.str}, values.tobytes())


if __name__ == "__main__":
    main()
