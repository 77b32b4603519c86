"""A page that shows samples: pictures as pictures, sound playable, text as text, everything in one HTML file.

Which kind a value is of is told by its bytes or by what its modality's loader makes of it, so slots of any modality
are shown: pictures, samples with a rate, numbers over time. A raw value of another kind may have a method ``preview()``
without arguments, which gives one of these, or words.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omni.data.loaders import SlotLoader, describe, is_path
from omni.data.members import samples_with_rate, signature, wav_file
from omni.errors import InputError, MissingSlotError, OmniError
from omni.types import Sample

THUMBNAIL = 240  # pixels of a picture's longer side
HEAD = 64  # bytes by which a kind of file is known
MOST_EMBEDDED = 4 << 20  # bytes of a file within the page; larger ones are linked
PLAYABLE = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg")
CURVE = (240, 48)  # pixels of a curve
LEADS = 12  # curves of one value
META_SHOWN = 160  # characters

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 1rem }}
article {{ border: 1px solid #ccc; border-radius: 6px; padding: .7rem; overflow-wrap: anywhere }}
h2 {{ font-size: .85rem; margin: 0 0 .5rem }} h3 {{ font-size: .75rem; margin: .5rem 0 .2rem; color: #666 }}
img, video {{ max-width: 100%; image-rendering: auto }} audio {{ width: 100% }} svg {{ display: block }}
.bad {{ color: #b00020 }} .none, small {{ color: #666 }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}</p>
<main>
{cards}
</main></body></html>
"""


def contact_sheet(
    samples: Iterable[Sample], slots: Mapping[str, str], *, title: str, summary: str = ""
) -> tuple[str, list[str]]:
    """The page of some samples.

    Args:
        samples: to show, in order.
        slots: slot -> modality, in the order in which they are shown.
        title: of the page. summary: a sentence below it.

    Returns:
        (HTML, the reasons of values that cannot be shown, which the page shows in their place).
    """
    loaders = {slot: SlotLoader(slot, modality=modality) for slot, modality in slots.items()}
    bad: list[str] = []
    cards = [_card(sample, loaders, bad) for sample in samples]
    page = PAGE.format(title=html.escape(title), summary=html.escape(summary), cards="\n".join(cards))
    return page, bad


def _card(sample: Sample, loaders: Mapping[str, SlotLoader], bad: list[str]) -> str:
    parts = [f"<h2>{html.escape(sample.id)}</h2>"]
    for slot, loader in loaders.items():
        value = sample.values.get(slot)
        parts.append(f"<h3>{html.escape(slot)}</h3>")
        if value is None:
            parts.append('<p class="none">missing</p>')
            continue
        try:
            parts.append(render(value, loader))
        except MissingSlotError as error:
            parts.append(f'<p class="none">missing: {html.escape(str(error))}</p>')
        except InputError as error:
            bad.append(f"{sample.id}: {error}")
            parts.append(f'<p class="bad">{html.escape(str(error))}</p>')
    facts = {**sample.meta, **sample.targets}
    told = ", ".join(f"{key} {value}" for key, value in facts.items())
    if told:
        parts.append(f"<p><small>{html.escape(_cut(told, META_SHOWN))}</small></p>")
    return f"<article>{''.join(parts)}</article>"


def render(value: Any, loader: SlotLoader) -> str:
    """HTML of one value.

    Raises:
        InputError: it cannot be read; names the slot and the file.
    """
    path = Path(value) if is_path(value, loader.spec) else None
    content = bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None
    raw = loader(value)  # also what cannot be read is found here, whatever browsers make of it
    if path is not None:
        content = path.read_bytes() if path.stat().st_size <= MOST_EMBEDDED else None
    media = _media(path if content is None else content)
    sound = samples_with_rate(raw)
    if sound is not None:
        return _sound(sound, content if media in PLAYABLE else None, media, path)
    if media.startswith("video/"):
        source = _data(media, content) if content is not None else path.resolve().as_uri() if path else ""
        return f'<video controls preload="none" src="{source}"></video>'
    if callable(getattr(raw, "preview", None)):
        raw = raw.preview()
    if hasattr(raw, "save") and hasattr(raw, "mode"):
        return _picture(raw)
    if isinstance(raw, str):
        return f"<p>{html.escape(raw)}</p>"
    return _numbers(raw) or f"<p>{html.escape(describe(raw))}</p>"


def _media(where: Path | bytes | None) -> str:
    """The media type by the first bytes; "" where it is not known."""
    if isinstance(where, Path):
        with where.open("rb") as file:
            where = file.read(HEAD)
    return (signature(where or b"") or ("", ""))[1]


def _picture(image: Any) -> str:
    shown, content = image.copy(), io.BytesIO()
    size = f"{image.width} x {image.height}"
    shown.thumbnail((THUMBNAIL, THUMBNAIL))
    if shown.mode not in ("1", "L", "P", "RGB", "RGBA"):
        shown = shown.convert("RGB")
    shown.save(content, "PNG")
    return f'<img loading="lazy" alt="{size}" title="{size}" src="{_data("image/png", content.getvalue())}">'


def _sound(sound: tuple[np.ndarray, int], content: bytes | None, media: str, path: Path | None) -> str:
    samples, rate = sound
    if content is not None and len(content) <= MOST_EMBEDDED:
        source = _data(media, content)
    elif path is not None and content is None and path.stat().st_size > MOST_EMBEDDED:
        source = path.resolve().as_uri()
    else:
        whole = samples.astype(np.float32)
        if samples.dtype.kind == "i":
            whole /= np.iinfo(samples.dtype).max
        source = _data("audio/wav", wav_file((whole.clip(-1, 1) * 32767).astype(np.int16), rate))
    seconds = f"{len(samples) / rate:.2f} s"
    curve = _curve(samples if samples.ndim == 1 else samples.mean(1), CURVE[1])
    return f'{curve}<audio controls preload="none" src="{source}"></audio><small>{seconds}</small>'


def _numbers(raw: Any) -> str:
    """Curves of an array (T,) or of the rows or columns of a matrix, whichever are fewer; else nothing."""
    try:
        array = np.asarray(raw)
    except (TypeError, ValueError):
        return ""
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or not array.size:
        return ""
    rows = array[None] if array.ndim == 1 else array if array.shape[0] <= array.shape[1] else array.T
    shape = " x ".join(map(str, array.shape))
    return "".join(_curve(row, CURVE[1] if len(rows) == 1 else 24) for row in rows[:LEADS]) + f"<small>{shape}</small>"


def _curve(values_T: np.ndarray, height: int) -> str:
    """Least and greatest of each column of pixels, so that nothing short is lost."""
    values = np.nan_to_num(values_T.astype(np.float64))
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(0, len(values), min(CURVE[0], len(values)) + 1).astype(int)
    points = []
    for column, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        x = column * CURVE[0] / (len(edges) - 1)
        for value in (values[start:stop].min(), values[start:stop].max()):
            points.append(f"{x:.1f},{height - (value - low) / ((high - low) or 1.0) * height:.1f}")
    line = f'<polyline fill="none" stroke="#3366aa" stroke-width="1" points="{" ".join(points)}"/>'
    return f'<svg width="{CURVE[0]}" height="{height}" role="img" aria-label="curve">{line}</svg>'


def _data(media: str, content: bytes) -> str:
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        OmniError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OmniError(f"{path} cannot be written: {error}") from error


def evenly(count: int, wanted: int) -> Sequence[int]:
    """``wanted`` positions spread over ``count``, the first and the last among them."""
    if wanted >= count:
        return range(count)
    return sorted({round(index * (count - 1) / max(1, wanted - 1)) for index in range(wanted)})
