"""Reads a film's index: which streams there are, when each frame is shown, which way up it is."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.errors import InputError
from omni_plugin_video import animations
from omni_plugin_video.source import Source
from omni_plugin_video.turning import may_be_turned

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,nut,ivf,h264,hevc,"
    "av1,obu,m4v,wav,mp3,flac,aac,w64,aiff,au"
)  # no play lists, no concatenation: a file must not make the reader open others
MAX_PIXELS = 8192 * 8192
DECORD_FORMATS = ("mov", "matroska", "avi")
EIGHT_BITS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """What is known of a film before its frames are read.

    Attributes:
        times_T: (T,) float64, seconds from the start of the file, when each frame is shown; increasing.
        end: when the last frame ends, seconds.
        pts_T: (T,) int64 presentation stamps, or None where the file has none: frames are then found by counting.
        keyframes: indices of frames that can be sought, increasing; 0 is always there.
        height, width: of the stored picture, before it is turned.
        turns: quarter turns counterclockwise that make it upright.
        codec, container: as FFmpeg names them.
        plain: decord is known to read it rightly.
        has_sound: there is a sound track.
    """

    times_T: np.ndarray
    end: float
    pts_T: np.ndarray | None
    keyframes: np.ndarray
    height: int
    width: int
    turns: int
    codec: str
    container: str
    plain: bool
    has_sound: bool


def open_container(source: Source) -> Any:
    """A PyAV container.

    Raises:
        InputError: of no format that is known here, or damaged.
    """
    import av

    try:
        return av.open(source.handle(), options={"format_whitelist": FORMATS}, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        if getattr(error, "errno", None) in (errno.EACCES, errno.ENOENT, errno.ELOOP):
            raise InputError(f"The {source.name} cannot be read: {error}.") from error
        raise InputError(
            f"The {source.name} is no film that can be read, or is damaged ({_reason(error)}). Known are MP4, MOV, "
            "MKV, WebM, AVI, GIF, WebP, APNG, MPEG, TS, FLV and WMV; convert or copy it again."
        ) from error


def probe(source: Source, *, max_pixels: int = MAX_PIXELS) -> Probe:
    """Read the index.

    Args:
        source: the film.
        max_pixels: of one frame; larger ones are refused before they are decoded.

    Raises:
        InputError: no film, no video stream, no frames, too large, an unknown codec, damaged.
    """
    import av

    animation = animations.kind_of(source)
    if animation is not None:
        return _animation(source, animation, max_pixels)
    with open_container(source) as container:
        stream = video_stream(container, source.name)
        _check_size(stream, source.name, max_pixels)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(max_pixels)}  # also where the size changes within the film
        try:
            return _read(container, stream, source)
        except (av.FFmpegError, ValueError, OSError) as error:
            if isinstance(error, InputError) and source.name in str(error):
                raise
            raise InputError(f"The {source.name} is damaged: {_reason(error)}. Copy it again.") from error


def _animation(source: Source, kind: str, max_pixels: int) -> Probe:
    times_T, end, height, width = animations.read_index(source, kind, max_pixels=max_pixels)
    return Probe(
        times_T=times_T, end=end, pts_T=None, keyframes=np.zeros(1, np.int64), height=height, width=width, turns=0,
        codec=kind, container=kind, plain=False, has_sound=False,
    )  # fmt: skip


def video_stream(container: Any, name: str) -> Any:
    """The first stream of pictures that is not a cover.

    Raises:
        InputError: there is none, or no decoder for it.
    """
    films = picture_streams(container)
    if not films:
        kinds = ", ".join(item.type for item in container.streams) or "none"
        raise InputError(
            f"The {name} has no video stream (streams: {kinds}); leave the slot out, or give a file with pictures."
        )
    if films[0].codec_context is None:
        raise InputError(f"The {name} is of a codec that is not there; convert it to H.264 in MP4.")
    return films[0]


def picture_streams(container: Any) -> list[Any]:
    """The streams of pictures, without the covers of songs."""
    import av

    return [item for item in container.streams.video if not item.disposition & av.stream.Disposition.attached_pic]


def _check_size(stream: Any, name: str, max_pixels: int) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > max_pixels:
        raise InputError(
            f"The {name} has frames of {width} x {height} pixels, more than {max_pixels}; make it smaller, or raise "
            "the loader's max_pixels if the file can be trusted."
        )


def _read(container: Any, stream: Any, source: Source) -> Probe:
    family, context = container.format.name.split(",")[0], stream.codec_context
    stamps, keys, lasting, first = _packets(container, stream, decode_one=_must_decode(source, family, context))
    if not stamps:
        raise InputError(f"The {source.name} holds no frame; it is damaged or cut off. Copy it again.")
    tick = float(stream.time_base)
    start = container.start_time / 1_000_000 if container.start_time is not None else 0.0
    order, stamps_T = _order(stamps, stream)
    guessed = family == "avi" and context.has_b_frames  # an AVI says in which order frames are stored only
    found = all(pts is not None for pts, _ in stamps) and bool((np.diff(stamps_T) > 0).all()) and not guessed
    times = (stamps_T - stamps_T[0]) * tick if guessed else stamps_T * tick - start
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    last = lasting * tick or usual or (1 / float(stream.average_rate) if stream.average_rate else 0.04)
    shape = first if first is not None else context
    turns = 0 if first is None else round(first.rotation / 90) % 4
    keyframes = np.asarray(keys)
    plain = found and not turns and _depth(shape) <= EIGHT_BITS and family in DECORD_FORMATS
    return Probe(
        times_T=times,
        end=float(times[-1] + last),
        pts_T=stamps_T if found else None,
        keyframes=np.union1d(np.flatnonzero(keyframes[order]), [0]),
        height=shape.height,
        width=shape.width,
        turns=turns,
        codec=context.name,
        container=family,
        plain=plain and _closed(order, keyframes) and _listed(stream, family, stamps, keys),
        has_sound=bool(container.streams.audio),
    )


def _must_decode(source: Source, family: str, context: Any) -> bool:
    """Whether the headers leave open what the first frame tells: its size, its depth, which way up it is."""
    if family not in DECORD_FORMATS or not context.width or not context.height or context.format is None:
        return True
    with source.open() as file:
        return may_be_turned(file, family)


def _depth(shape: Any) -> int:
    """Bits of a channel."""
    return max(part.bits for part in shape.format.components)


def _packets(
    container: Any, stream: Any, *, decode_one: bool
) -> tuple[list[tuple[int | None, int | None]], list[bool], int, Any]:
    """(pts, dts) and whether it is a keyframe of each stored frame, how long the last one lasts in ticks, and the first
    decoded frame.

    Raises:
        InputError: no frame can be decoded.
    """
    stamps, keys, lasting, first = [], [], 0, None
    for packet in container.demux(stream):
        if packet.size and not packet.is_discard:
            stamps.append((packet.pts, packet.dts))
            keys.append(packet.is_keyframe)
            lasting = packet.duration or lasting
        if decode_one and first is None:
            first = next(iter(_decoded(packet)), None)
    if decode_one and first is None:
        raise InputError("no frame can be decoded")
    return stamps, keys, lasting, first


def _decoded(packet: Any) -> list[Any]:
    """Frames of a packet; one that cannot be decoded gives none, since a later one may."""
    import av

    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def _order(stamps: list[tuple[int | None, int | None]], stream: Any) -> tuple[np.ndarray, np.ndarray]:
    """The order in which frames are shown, and their stamps in that order. Files without presentation stamps (AVI) are
    shown in the order of their decoding stamps; files without any have a constant rate."""
    chosen = [pts if pts is not None else dts for pts, dts in stamps]
    if any(value is None for value in chosen):
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        chosen = [round(number / rate / float(stream.time_base)) for number in range(len(stamps))]
    values = np.asarray(chosen, np.int64)
    order = np.argsort(values, kind="stable")
    return order, values[order]


def _closed(order: np.ndarray, keyframes: np.ndarray) -> bool:
    """Whether no frame is stored after a keyframe and shown before it (open groups of pictures, the default of x265):
    decord seeks to that keyframe and gives wrong frames there."""
    shown = np.empty(len(order), np.int64)
    shown[order] = np.arange(len(order))
    earliest_later = np.minimum.accumulate(shown[::-1])[::-1]
    return bool((earliest_later[keyframes] == shown[keyframes]).all())


def _listed(stream: Any, family: str, stamps: list[tuple[int | None, int | None]], keys: list[bool]) -> bool:
    """Whether the file's own index lists every keyframe. x264 writes some that MP4's table of keyframes leaves out
    (pictures that start a shot without resetting the decoder): decord takes them for keyframes, seeks to one, lands at
    the listed one before it, and counts on from there."""
    listed = {entry.timestamp for entry in stream.index_entries if entry.is_keyframe}
    return all(
        (pts if family == "matroska" else dts) in listed for (pts, dts), key in zip(stamps, keys, strict=True) if key
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
