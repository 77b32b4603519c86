"""Builds furniture3d: point clouds of Sweet Home 3D's furniture, their icons, names in many languages, spoken names."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from omni.data.building import frame
from omni.data.building.archives import unpack_deb
from omni.data.building.counter_rng import seed_of
from omni.data.building.packages import obtain
from omni.data.building.zip_shards import write_shard, write_shards
from omni.errors import ConfigError, InputError, MissingDependencyError
from omni.zoo import omni_home
from omni_plugin_pointcloud.builder.catalog import Model, members_of, read_catalog
from omni_plugin_pointcloud.builder.sources import FURNITURE, PLACE
from omni_plugin_pointcloud.builder.splitting import classes_of, families, hold_out
from omni_plugin_pointcloud.furniture import FORMAT, NAME

Progress = Callable[[str, int, int], None]
SPOKEN = ("en", "fr", "de", "es", "ru", "tr")
LEAST_MODELS = 35
DROPPED = ("Miscellaneous", "Staircases")
POINTS = 2048
_OPUS, _WORDS_A_MINUTE = 0.96, 160


def main(argv: list[str] | None = None) -> int:
    """``omni data build furniture3d``; returns the exit status."""
    parser = frame.builder_parser(
        f"omni data build {NAME}", f"Build the data set {NAME}.", folder=NAME, packages="apt-get download"
    )
    parser.add_argument("--languages", nargs="+", default=list(SPOKEN), help="spoken (default: %(default)s)")
    parser.add_argument("--no-speech", dest="speech", action="store_false", help="no spoken names")
    parser.add_argument("--points", type=int, default=POINTS, help="of a cloud (default: %(default)s)")
    arguments = parser.parse_args(argv)
    languages = tuple(arguments.languages) if arguments.speech else ()
    out = arguments.out or omni_home() / NAME
    return frame.run_builder(build_furniture, out, arguments, languages=languages, points=arguments.points)


def _m3mini(module: str) -> Any:
    """A module of omni-plugin-m3mini's builder, which knows espeak-ng and the frame of a build."""
    import importlib

    try:
        return importlib.import_module(f"omni_plugin_m3mini.builder.{module}")
    except ImportError as error:
        raise MissingDependencyError(
            f"building {NAME} needs {error.name}; pip install 'omni-plugin-pointcloud[build]'"
        ) from error


def build_furniture(
    out: Path, *, cache: Path, given: list[Path], workers: int = 1, progress: Progress | None = None,
    languages: tuple[str, ...] = SPOKEN, points: int = POINTS, least: int = LEAST_MODELS,
) -> Path:  # fmt: skip
    """Build into ``out`` (replaced whole, only when all is done).

    A build that was stopped goes on where it was: clouds of a catalogue and speech of a language are kept in
    ``out``.pieces until the end.

    Args:
        cache: of packages. given: where they already lie: the archive, its folder, or a folder of .sh3f catalogues.
        languages: whose names are spoken; () = no speech. Names as text come in all.
        points: of a cloud. least: models that a category needs to be a class.

    Raises:
        OmniError: the package or espeak-ng cannot be had. InputError: it is not what it should be.
        ConfigError: a language without names, or too few points.
    """
    if not 16 <= points <= 100_000:
        raise ConfigError(f"{NAME}: points is {points}; it must lie in 16 to 100000.")
    tell = progress or (lambda what, done, total: None)
    catalogs = find_catalogs(cache=cache, given=given)
    models = [model for path in catalogs for model in read_catalog(path)]
    classes = classes_of((model.category for model in models), least=least, dropped=DROPPED)
    models = [model for model in models if model.category in classes]
    if len(classes) < 2:
        raise InputError(f"{NAME}: no class has {least} models or more; fetch {FURNITURE.filename} again")
    _normalise_names(models)
    for language in languages:
        if not any(language in model.names for model in models):
            known = sorted({name for model in models for name in model.names})
            raise ConfigError(f"{NAME} has no names in {language!r}; it has {', '.join(known)}")
    family_M = families([model.names for model in models], dict.fromkeys(("en", *SPOKEN, *languages)))
    split_M = hold_out(family_M, [model.category for model in models])
    pieces = out.with_name(out.name + ".pieces")
    pieces.mkdir(parents=True, exist_ok=True)
    clouds = _clouds(models, points, pieces, tell)
    solids = _solids(models, pieces, tell)
    speech = _speech(models, split_M, languages, pieces, workers, tell, cache=cache, given=given)
    with frame.new_folder(out) as part:
        rows = _write_models(part, models, clouds, solids, family_M, split_M, classes)
        said = write_shards(part, "speech", [(f"{n:05d}.ogg", data) for n, (_, data) in enumerate(speech)])
        info = {
            "name": NAME, "format": FORMAT, "points": points, "classes": classes, "spoken": list(languages),
            "languages": sorted({language for model in models for language in model.names}), "models": rows,
            "speech": [{**row, "place": place(s, "speech")} for (row, _), s in zip(speech, said, strict=True)],
            "source": f"{FURNITURE.package} {FURNITURE.version}",
        }  # fmt: skip
        write_licences(part, models, spoken=bool(languages))
        frame.write_info(part, info)
    shutil.rmtree(pieces, ignore_errors=True)
    return out


def find_catalogs(*, cache: Path, given: list[Path]) -> list[Path]:
    """The .sh3f files, sorted by name: of a given folder, or of the pinned package, unpacked in ``cache``.

    Raises:
        InputError: the archive is not the pinned one, or holds no catalogue. OmniError: it cannot be fetched.
    """
    for folder in given:
        for place in (folder, folder / PLACE):
            found = sorted(place.glob("*.sh3f")) if place.is_dir() else []
            if found:
                return found
    unpacked = cache / f"{FURNITURE.package}-{FURNITURE.version}"
    if not unpacked.is_dir():
        archive = obtain(FURNITURE, cache=cache, given=given)
        part = unpacked.with_name(unpacked.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        unpack_deb(archive, part)
        os.replace(part, unpacked)
    found = sorted((unpacked / PLACE).glob("*.sh3f"))
    if not found:
        raise InputError(f"{unpacked} has no {PLACE}/*.sh3f; remove it and fetch {FURNITURE.filename} again")
    return found


def _normalise_names(models: list[Model]) -> None:
    normalise = _m3mini("names").normalise
    for model in models:
        model.names = {language: normalise(name) for language, name in model.names.items()}


def _clouds(models: list[Model], points: int, pieces: Path, tell: Progress) -> list[np.ndarray]:
    """(N, 3) float32 of each model, in its own unit, upright; each catalogue's are kept as soon as they are made."""
    from omni_plugin_pointcloud import meshes

    clouds: list[np.ndarray] = []
    for path, group in groupby(models, key=lambda model: model.catalog):
        mine = list(group)
        key = hashlib.sha256(repr([(m.id, points, FORMAT, path.stat().st_size) for m in mine]).encode()).hexdigest()
        piece = pieces / f"clouds-{path.stem}-{key[:16]}.npy"
        if not piece.is_file():
            made = []
            for number, data in enumerate(members_of(path, [model.obj for model in mine]), 1):
                name = f"model {mine[number - 1].id!r}"
                cloud = meshes.read(data, "obj", folder=None, points=points, color=False, normals=False, name=name)
                made.append((cloud.points_N3.astype(np.float64) @ mine[number - 1].rotation.T).astype(np.float32))
                tell(f"clouds of {path.stem}", number, len(mine))
            with open(piece.with_suffix(".part"), "wb") as file:
                np.save(file, np.stack(made))
            os.replace(piece.with_suffix(".part"), piece)
        clouds += list(np.load(piece, allow_pickle=False))
    return clouds


def _solids(models: list[Model], pieces: Path, tell: Progress) -> list[bytes]:
    """Frame and voxels of each model, upright; each catalogue's are kept as soon as they are made."""
    from omni_plugin_pointcloud import meshes

    solids = _three_d("solids")
    found: list[bytes] = []
    for path, group in groupby(models, key=lambda model: model.catalog):
        mine = list(group)
        key = hashlib.sha256(repr([(m.id, solids.GRID, FORMAT, path.stat().st_size) for m in mine]).encode())
        piece = pieces / f"solids-{path.stem}-{key.hexdigest()[:16]}.zip"
        if not piece.is_file():
            made = []
            for number, data in enumerate(members_of(path, [model.obj for model in mine]), 1):
                model = mine[number - 1]
                corners = meshes.triangles(data, "obj", name=f"model {model.id!r}") @ model.rotation.T
                made.append((f"{number:05d}.solid", solids.framed_solid(corners, name=f"model {model.id!r}")))
                tell(f"solids of {path.stem}", number, len(mine))
            write_shard(piece.with_suffix(".part"), made)
            os.replace(piece.with_suffix(".part"), piece)
        with zipfile.ZipFile(piece) as archive:
            found += [archive.read(name) for name in archive.namelist()]
    return found


def _three_d(module: str) -> Any:
    """A module of omni-plugin-three-d, which knows solids."""
    import importlib

    try:
        return importlib.import_module(f"omni_plugin_three_d.{module}")
    except ImportError as error:
        raise MissingDependencyError(
            f"building {NAME} needs {error.name}; pip install 'omni-plugin-pointcloud[build]'"
        ) from error


def _speech(
    models: list[Model], split_M: list[str], languages: tuple[str, ...], pieces: Path, workers: int, tell: Progress,
    *, cache: Path, given: list[Path],
) -> list[tuple[dict[str, Any], bytes]]:  # fmt: skip
    """(row, Ogg Opus) of every name in every language, in a voice of its split; each language's are kept."""
    if not languages:
        return []
    speech, opus = _m3mini("speech"), _m3mini("opus")
    espeak = speech.find_espeak(cache=cache, given=given)
    voices = speech.split_voices(espeak.variants())
    pools = {split: sorted(name for name, part in voices.items() if part == split) for split in ("train", "test")}
    found = []
    for language in languages:
        texts = {(model.names[language], split): None for model, split in zip(models, split_M, strict=True)
                 if language in model.names}  # fmt: skip
        rows = []
        for text, split in texts:
            voice = pools[split][seed_of(NAME, "voice", text, language) % len(pools[split])]
            rows.append({"language": language, "text": text, "split": split, "voice": voice})

        def say(row: dict[str, Any], language: str = language) -> bytes:
            wave_T = espeak.speak(row["text"], language=language, variant=row["voice"], rate=_WORDS_A_MINUTE)
            return opus.encode_opus(wave_T, compression_level=_OPUS)

        key = hashlib.sha256(repr((rows, _OPUS, _WORDS_A_MINUTE, speech.VERSION)).encode()).hexdigest()
        piece = pieces / f"speech-{language}-{key[:16]}.zip"
        if not piece.is_file():
            sounds = []
            with ThreadPoolExecutor(workers) as pool:
                for data in pool.map(say, rows):
                    sounds.append((f"{len(sounds):05d}.ogg", data))
                    tell(f"speech in {language}", len(sounds), len(rows))
            write_shard(piece.with_suffix(".part"), sounds)
            os.replace(piece.with_suffix(".part"), piece)
        with zipfile.ZipFile(piece) as archive:
            found += [(row, archive.read(name)) for row, name in zip(rows, archive.namelist(), strict=True)]
    return found


def _write_models(
    part: Path, models: list[Model], clouds: list[np.ndarray], solids: list[bytes], family_M: list[int],
    split_M: list[str], classes: list[str],
) -> list[dict[str, Any]]:  # fmt: skip
    """Shards of clouds, solids and icons below ``part``; the rows of the models."""
    icons = {}
    for path, group in groupby(models, key=lambda model: model.catalog):
        mine = list(group)
        for model, data in zip(mine, members_of(path, [model.icon for model in mine]), strict=True):
            icons[model.id] = data
    arrays = []
    for model, cloud in zip(models, clouds, strict=True):
        file = io.BytesIO()
        np.save(file, cloud, allow_pickle=False)
        arrays.append((f"{model.id}.npy", file.getvalue()))
    cloud_places = write_shards(part, "clouds", arrays)
    solid_places = write_shards(
        part, "solids", [(f"{model.id}.solid", data) for model, data in zip(models, solids, strict=True)]
    )
    icon_places = write_shards(part, "icons", [(f"{name}.png", data) for name, data in icons.items()])
    return [
        {
            "id": model.id, "class": classes.index(model.category), "names": model.names, "family": family,
            "split": split, "size_cm": list(model.size_cm), "licence": model.licence, "creator": model.creator,
            "cloud": place(cloud, "clouds"), "icon": place(icon, "icons"), "solid": place(solid, "solids"),
        }
        for model, family, split, cloud, icon, solid in zip(
            models, family_M, split_M, cloud_places, icon_places, solid_places, strict=True
        )
    ]  # fmt: skip


def place(found: Any, stem: str) -> list[Any]:
    """[shard file, offset, size]."""
    return [f"{stem}-{found.shard:03d}.zip", found.offset, found.size]


def write_licences(part: Path, models: list[Model], *, spoken: bool) -> None:
    """LICENSES of the built folder, with every model's author, as the licences ask."""
    source = FURNITURE
    lines = [
        "Built on this machine; pass it on only as these licences say.",
        f"{source.package} {source.version} ({source.license}): {source.credit}. {source.url}",
        "Changed: of each model, points of its surface and the voxels that it fills; icons are as they were.",
    ]
    if spoken:
        lines.append("The speech is synthetic: espeak-ng 1.51 spoke the names in its own voice variants.")
    lines += ["", "model | licence | author", "--- | --- | ---"]
    lines += [f"{model.id} | {model.licence} | {model.creator or 'not named'}" for model in models]
    (part / "LICENSES").write_text("\n".join(lines) + "\n", encoding="utf-8")
