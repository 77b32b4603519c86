"""The builder: archives, pinned sources, Ogg bytes, names; and (slow) the real build."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from omni.data.building.archives import ar_members, read_members, unpack_deb
from omni.data.building.counter_rng import CounterRng
from omni.data.building.packages import obtain
from omni.data.building.zip_shards import MAX_BYTES, write_shards
from omni.errors import InputError, OmniError
from omni_plugin_m3mini.builder import names, sources, speech
from omni_plugin_m3mini.builder.cli import main
from omni_plugin_m3mini.builder.elf import free_of
from omni_plugin_m3mini.builder.opus import canonical_ogg, encode_opus, ogg_crc
from omni_plugin_m3mini.builder.speech import even_loudness, split_voices, trim
from omni_plugin_m3mini.store import EditionStore, edition_folder


def tar_of(
    members: dict[str, bytes], mode: str = "w:gz", link: tuple[str, str] | None = None, folder: str = ""
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        if folder:
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        if link:
            entry = tarfile.TarInfo(link[0])
            entry.type, entry.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(entry)
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def deb_of(data_tar: bytes) -> bytes:
    out = b"!<arch>\n"
    for name, body in (("debian-binary", b"2.0\n"), ("data.tar.xz", data_tar)):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
    return out


def test_archives_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(tar_of({"package/a": b"1", "./package/b": b"2"}))
    assert read_members(tmp_path / "a.tgz") == {"package/a": b"1", "package/b": b"2"}
    with pytest.raises(InputError, match="lacks package/c"):
        read_members(tmp_path / "a.tgz", {"package/a", "package/c"})
    (tmp_path / "a.deb").write_bytes(deb_of(tar_of({"./usr/bin/x": b"run"}, "w:xz", folder="./")))
    unpack_deb(tmp_path / "a.deb", tmp_path / "out")
    assert (tmp_path / "out/usr/bin/x").read_bytes() == b"run"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"])
def test_members_may_not_leave_their_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.tgz").write_bytes(tar_of({name: b"1"}))
    with pytest.raises(InputError, match="would leave the folder"):
        read_members(tmp_path / "a.tgz")
    (tmp_path / "a.deb").write_bytes(deb_of(tar_of({name: b"1"}, "w:xz")))
    with pytest.raises(InputError, match="would leave the folder"):
        unpack_deb(tmp_path / "a.deb", tmp_path / "out")


def test_links_may_not_lead_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(outside)
    (tmp_path / "a.deb").write_bytes(deb_of(tar_of({"link/evil": b"1"}, "w:xz")))
    with pytest.raises(InputError, match="goes through a link"):
        unpack_deb(tmp_path / "a.deb", tmp_path / "out")
    (tmp_path / "b.deb").write_bytes(deb_of(tar_of({}, "w:xz", link=("up", "../outside"))))
    unpack_deb(tmp_path / "b.deb", tmp_path / "out")
    assert not list(outside.iterdir()) and not (tmp_path / "out/up").exists()


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    for name in ("a.tgz", "a.deb"):
        (tmp_path / name).write_bytes(b"nothing like it")
    with pytest.raises(InputError, match="a.tgz"):
        read_members(tmp_path / "a.tgz")
    with pytest.raises(InputError, match="a.deb: not a Debian package"):
        unpack_deb(tmp_path / "a.deb", tmp_path)
    whole = deb_of(tar_of({"x": b"1"}, "w:xz"))
    with pytest.raises(InputError, match="cut off"):
        ar_members(whole[:-40], "a.deb")


def test_a_missing_client_names_package_version_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "home"))
    with pytest.raises(OmniError, match=r"npm package cldr-annotations-full 48.2.0 .*--from"):
        obtain(sources.CLDR, cache=tmp_path / "c", given=[])
    with pytest.raises(OmniError, match=r"Debian package espeak-ng 1.51.*apt-get is not on the PATH.*--from"):
        obtain(sources.ESPEAK[0], cache=tmp_path / "c", given=[tmp_path])
    assert main(["--edition", "demo", "--out", str(tmp_path / "out")]) == 1
    assert "--from" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_another_file_under_the_pinned_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / sources.CLDR.filename).write_bytes(b"other")
    with pytest.raises(InputError, match="sha256"):
        obtain(sources.CLDR, cache=tmp_path / "c", given=[tmp_path])
    with pytest.raises(InputError, match="sha256"):
        obtain(sources.CLDR, cache=tmp_path / "c", given=[tmp_path / sources.CLDR.filename])


def test_ogg_checksum_and_canonical_bytes() -> None:
    soundfile = pytest.importorskip("soundfile", reason="the audio plugin brings it")
    data = b"OggS and some bytes"
    slow = 0
    for byte in data:
        slow ^= byte << 24
        for _ in range(8):
            slow = ((slow << 1) ^ (0x04C11DB7 if slow & 0x80000000 else 0)) & 0xFFFFFFFF
    assert ogg_crc(data) == slow
    wave_T = (0.3 * np.sin(np.arange(16_000) * 0.2)).astype(np.float32)
    first, second = (encode_opus(wave_T, compression_level=0.96) for _ in range(2))
    assert first == second == canonical_ogg(first)
    buffer = io.BytesIO()
    soundfile.write(buffer, wave_T, 16_000, format="OGG", subtype="OPUS", compression_level=0.96)
    decoded = [soundfile.read(io.BytesIO(data))[0] for data in (buffer.getvalue(), first)]
    assert len(first) < len(buffer.getvalue()) - 500 and np.array_equal(*decoded)


def test_shards_are_deterministic_and_small(tmp_path: Path) -> None:
    members = [(f"x/{number}", bytes([number]) * 700_000) for number in range(5)]
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        places = write_shards(tmp_path / name, "s", members)
        files = sorted((tmp_path / name).iterdir())
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1] and len(files) == 3
    assert all(path.stat().st_size <= MAX_BYTES for path in files)
    for (_, data), place in zip(members, places, strict=True):
        assert files[place.shard].read_bytes()[place.offset : place.offset + place.size] == data


def test_random_numbers_are_pinned() -> None:
    """The stream itself is part of the data set's definition: it may never change."""
    assert CounterRng("m3mini", 0).bits(2).tolist() == [12067449268939470833, 17605010793926377292]
    known = CounterRng()
    known._state = np.uint64(1234567)  # the usual test vector of splitmix64
    assert known.bits(3).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    rng = CounterRng(1)
    assert rng.integers(10, (4,)).tolist() != rng.integers(10, (4,)).tolist()
    counts = np.bincount(CounterRng(2).integers(6, (60_000,)))
    assert abs(counts - 10_000).max() < 500
    orders = CounterRng(3).permutations(6000, 3)
    assert sorted(np.unique(orders, axis=0, return_counts=True)[1] // 100) >= [9] * 6


def test_names_are_normalised() -> None:
    assert names.normalise("  Cafe\u0301  Au Lait ") == "caf\u00e9 au lait"
    assert names.normalise("\u0130stanbul") == "istanbul"
    assert names.is_plain("ice cream") and names.is_plain("\u0ba8\u0bbe\u0baf\u0bcd")
    for bad in ("a b c", "o'clock", "2 hearts", "a-b", "averyveryverylongname", ""):
        assert not names.is_plain(bad)
    assert names.shared_spellings({"en": {"1": "taxi", "2": "car"}, "tr": {"1": "taksi", "2": "car"}}) == {"car"}
    assert names.shared_spellings({"en": {"1": "bear", "2": "bear"}}) == {"bear"}


def test_voices_split_by_family() -> None:
    splits = split_voices(["f1", "f2", "klatt", "klatt2", "klatt6", "Mike", "whisper", "whisperf", "zac", "rob"])
    assert splits["klatt"] == splits["klatt2"] == splits["klatt6"] and splits["whisper"] == splits["whisperf"]
    assert splits["f1"] == "train"


def test_trim_and_loudness() -> None:
    tone = np.sin(np.arange(8000) * 0.3).astype(np.float32)
    wave_T = np.concatenate([np.zeros(5000, np.float32), tone * 0.01, np.zeros(9000, np.float32)])
    short = trim(wave_T)
    assert 8000 <= len(short) <= 8000 + 2 * 480
    assert abs(np.sqrt(np.mean(even_loudness(short) ** 2)) - 0.08) < 1e-3
    assert np.abs(even_loudness(np.eye(1, 8000, 50, dtype=np.float32)[0])).max() <= 0.95


_which = shutil.which


@pytest.mark.slow
def test_the_real_build_gives_the_shipped_edition_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetches the packages with npm and apt-get, builds the demo edition twice, compares with what ships.

    espeak-ng is run from its unpacked packages, whether or not the machine has one of its own.
    """
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(speech.shutil, "which", lambda name: None if name == "espeak-ng" else _which(name))
    for name in ("a", "b"):
        assert main(["--edition", "demo", "--w", "3", "--out", str(tmp_path / name)]) == 0
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert first == second
    shipped, built = EditionStore(edition_folder("demo")), EditionStore(tmp_path / "a")
    assert {k: v for k, v in shipped.info.items() if k != "files"} == {
        k: v for k, v in built.info.items() if k != "files"
    }
    # bytes of pictures and speech may differ with the versions of zlib and libopus; what they hold may not
    assert (shipped.clips[:, :7] == built.clips[:, :7]).all() and (
        shipped.pictures[:, :2] == built.pictures[:, :2]
    ).all()
    for path in edition_folder("demo").glob("triples-*.npy"):
        assert path.read_bytes() == first[path.name]


@pytest.mark.slow
def test_espeak_runs_from_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither root nor PulseAudio nor ALSA is needed; a second search uses the unpacked packages again."""
    monkeypatch.setattr(speech.shutil, "which", lambda name: None if name == "espeak-ng" else _which(name))
    for _ in range(2):
        espeak = speech.find_espeak(cache=tmp_path, given=[])
        assert espeak.command.startswith(str(tmp_path)) and len(espeak.variants()) == 101
        first, again = (espeak.speak("кошка", language="ru", variant="Mr serious", rate=160) for _ in range(2))
        assert np.array_equal(first, again) and 3000 < len(first) < 16_000
    with pytest.raises(OmniError, match="xx"):
        espeak.speak("x", language="xx", variant="m1", rate=160)


def test_only_a_library_can_be_freed() -> None:
    with pytest.raises(InputError, match="not an x86-64 ELF library"):
        free_of(b"#!/bin/sh\n" * 10, ("libpulse",), null="f")


@pytest.mark.slow
def test_openmoji_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_plugin_m3mini.builder.pictures import openmoji_pictures

    given: list[Path] = []
    table = names.read_names(obtain(sources.CLDR, cache=tmp_path, given=given))
    emoji = names.read_emoji(table, obtain(sources.NOTO, cache=tmp_path, given=given))
    bench = names.choose("bench", emoji, table).classes
    pictures = openmoji_pictures(obtain(sources.OPENMOJI, cache=tmp_path, given=given), bench)
    assert len(bench) == 200 and len(pictures) >= 195
    full = names.choose("full", emoji, table)
    assert len(emoji) == 1585 and 1500 < len(full.classes) <= 1585
    assert [item.id for item in names.choose("demo", emoji, table).classes] == [item.id for item in bench[:50]]
