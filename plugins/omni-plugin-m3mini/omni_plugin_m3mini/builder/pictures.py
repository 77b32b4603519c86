"""Pictures of the classes: 64 x 64 RGB PNG on a white ground, one of each art."""

from __future__ import annotations

import io
from pathlib import Path

from omni.data.building.archives import read_members
from omni.errors import InputError, MissingDependencyError
from omni_plugin_m3mini.builder.names import Emoji

SIZE = 64


def flat_png(data: bytes) -> bytes:
    """A PNG with transparency as a 64 x 64 RGB PNG on white, without metadata."""
    from PIL import Image

    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    if picture.size != (SIZE, SIZE):
        picture = picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    buffer = io.BytesIO()
    ground.convert("RGB").save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def datasource_pictures(archive: Path, art: str, classes: list[Emoji]) -> dict[str, bytes]:
    """id -> PNG from an emoji-datasource archive; ``art`` is its folder ("google" or "twitter")."""
    members = {f"package/img/{art}/{SIZE}/{item.id}.png": item.id for item in classes}
    return {members[name]: flat_png(data) for name, data in read_members(archive, set(members)).items()}


def openmoji_pictures(archive: Path, classes: list[Emoji]) -> dict[str, bytes]:
    """id -> PNG drawn from OpenMoji's SVG, for those classes that it has."""
    try:
        import cairosvg
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"OpenMoji pictures are drawn with cairosvg, which cannot be imported ({error}); "
            "pip install 'omni-plugin-m3mini[build]' (and the cairo library), or leave the art out with --arts"
        ) from error
    drawings = {Path(name).stem: data for name, data in read_members(archive).items() if "/color/svg/" in name}
    found = {}
    for item in classes:
        code = item.id.upper()
        drawing = drawings.get(code) or drawings.get(code.replace("-FE0F", ""))
        if drawing is not None:
            png = cairosvg.svg2png(bytestring=drawing, output_width=SIZE, output_height=SIZE)
            found[item.id] = flat_png(png)
    if not found:
        raise InputError(f"{archive.name}: none of the {len(classes)} classes has a drawing in color/svg")
    return found
