"""One file, two slots; what has no sound lacks the slot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from video_fixture import RATE, write_film

from omni.data.datasets import ProcessedDataset
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError, MissingSlotError
from omni.plugin.catalog import get_catalog
from omni.types import Sample
from omni_plugin_video.films import FilmManifest
from omni_plugin_video.io import Part
from omni_plugin_video.sound import SoundTrack, load, sound_of, split


def pitch(array: np.ndarray, rate: int) -> float:
    power = np.abs(np.fft.rfft(array * np.hanning(len(array))))
    return float(np.fft.rfftfreq(len(array), 1 / rate)[power.argmax()])


def processor() -> Processor:
    return Processor({"video": {"size": 32, "num_frames": 3}, "audio": {"type": "log_mel"}})


def test_a_film_with_sound_fills_both_slots(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", sound="aac", frames=25)
    values = split(path)
    assert values["video"] == path and values["audio"]["sample_rate"] == RATE
    sound = values["audio"]["array"]
    assert sound.dtype == np.float32 and sound.ndim == 1 and abs(len(sound) / RATE - 1.0) < 0.1
    assert abs(pitch(sound, RATE) - 440) < 3 and 0.2 < np.abs(sound[2000:-2000]).max() < 0.4
    batch = processor().collate([(s := Sample(id="1", values=values), processor()(s))])
    assert batch.inputs["video"]["pixels_BTCHW"].shape == (1, 3, 3, 32, 32)
    assert batch.inputs["audio"]["mel_BTC"].shape[0] == 1


def test_a_film_without_sound_lacks_the_slot(tmp_path: Path) -> None:
    mute, silent = write_film(tmp_path / "mute.mp4"), write_film(tmp_path / "zeros.mkv", sound="flac", volume=0.0)
    loud = write_film(tmp_path / "loud.mkv", sound="flac")
    samples = [Sample(id=path.stem, values=split(path)) for path in (mute, silent, loud)]
    assert [sorted(sample.values) for sample in samples] == [["video"], ["video"], ["audio", "video"]]
    made = processor()
    batch = made.collate([(sample, made(sample)) for sample in samples])
    assert batch.present["audio"].tolist() == [False, False, True] and batch.present["video"].all()
    assert len(batch.inputs["audio"]["mel_BTC"]) == 1, "a missing slot has no row, not even zeros"
    assert sound_of(mute) is None and sound_of(silent) is None
    kept = sound_of(silent, silent="error")
    with pytest.raises(InputError, match="silent"):
        made.process_value("audio", kept)
    with pytest.raises(ConfigError, match="missing, error"):
        sound_of(mute, silent="zeros")


def by_path(**options: object) -> Processor:
    """An audio slot whose values are films."""
    track = {"type": "video.sound", **options}
    return Processor({"video": {"size": 32, "num_frames": 3}, "audio": {"type": "log_mel", "loader": {"track": track}}})


def test_films_by_their_plain_paths_in_an_audio_slot(tmp_path: Path) -> None:
    mute, silent = write_film(tmp_path / "mute.mp4"), write_film(tmp_path / "zeros.mkv", sound="flac", volume=0.0)
    loud = write_film(tmp_path / "loud.mkv", sound="flac")
    made = by_path()
    for form in (str, Path, Path.read_bytes):
        samples = [Sample(id=path.stem, values={"video": path, "audio": form(path)}) for path in (mute, silent, loud)]
        batch = made.collate([(sample, made(sample)) for sample in samples])
        assert batch.present["audio"].tolist() == [False, False, True] and batch.present["video"].all()
        assert len(batch.inputs["audio"]["mel_BTC"]) == 1
    expected = processor().process_value("audio", sound_of(loud))["mel_TC"]
    assert made.process_value("audio", loud)["mel_TC"].equal(expected)
    with pytest.raises(MissingSlotError, match=r"'audio'.*mute\.mp4.*no sound track"):
        made.process_value("audio", mute)
    with pytest.raises(MissingSlotError, match=r"zeros\.mkv.*nothing but zeros"):
        made.process_value("audio", silent)
    with pytest.raises(InputError, match="silent") as caught:
        by_path(silent="error").process_value("audio", silent)
    assert not isinstance(caught.value, MissingSlotError)
    with pytest.raises(MissingSlotError, match=r"mute\.mp4"):
        load(mute)
    (tmp_path / "bad.mp4").write_bytes(b"words")
    with pytest.raises(InputError, match=r"bad\.mp4") as caught:
        made.process_value("audio", tmp_path / "bad.mp4")
    assert not isinstance(caught.value, MissingSlotError)


def test_manifests_folders_and_shards_of_films(tmp_path: Path) -> None:
    from omni.data.datasets import ManifestDataset
    from omni.data.folders import FolderDataset
    from omni.data.sharding import write_shards
    from omni.data.webdataset import WebDatasetStream

    folder = tmp_path / "films"
    folder.mkdir()
    write_film(folder / "a_mute.mp4")
    write_film(folder / "b_loud.mp4", sound="aac")
    (folder / "rows.csv").write_text("id,video,audio\na,a_mute.mp4,a_mute.mp4\nb,b_loud.mp4,b_loud.mp4\n")
    manifest = ManifestDataset(folder / "rows.csv")
    write_shards(manifest, tmp_path / "shards", slots={"video": "video", "audio": "audio"}, progress=False)
    pairs = FolderDataset(folder, layout="pairs", slots={"video": "mp4", "audio": "mp4"})
    shards = list(WebDatasetStream(tmp_path / "shards", slots={"video": "video.mp4", "audio": "audio.mp4"}))
    for source in (manifest, pairs, shards):
        view = ProcessedDataset(source, by_path())
        batch = view.processor.collate([view[0], view[1]])
        assert batch.present["audio"].tolist() == [False, True] and batch.present["video"].all()


def test_tracks_that_are_opened_when_they_are_read(tmp_path: Path) -> None:
    from omni.data.contact_sheet import contact_sheet
    from omni.data.sharding import write_shards
    from omni.data.webdataset import WebDatasetStream

    mute, loud = write_film(tmp_path / "mute.mp4"), write_film(tmp_path / "loud.mkv", sound="flac")
    later = SoundTrack(tmp_path / "later.mp4")
    with pytest.raises(InputError, match=r"later\.mp4.*does not exist"):
        later["array"]
    samples = [Sample(id=path.stem, values={"video": path, "audio": SoundTrack(path)}) for path in (mute, loud)]
    track = samples[1].values["audio"]
    assert np.array_equal(track["array"], track["array"]) and track["sample_rate"] == RATE
    page, bad = contact_sheet(samples, {"audio": "audio"}, title="films")
    assert not bad and "missing: " in page and "has no sound track" in page and page.count("<audio") == 1
    write_shards(samples, tmp_path / "shards", slots={"audio": "audio"}, progress=False)
    read = list(WebDatasetStream(tmp_path / "shards"))
    assert [list(sample.values) for sample in read] == [[], ["audio"]]
    assert processor()(read[1])["audio"]["mel_TC"].equal(processor().process_value("audio", sound_of(loud))["mel_TC"])


def test_a_damaged_track_is_not_a_missing_one(tmp_path: Path) -> None:
    path = write_film(tmp_path / "odd.mkv", sound="flac")
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_ODDX"))
    with pytest.raises(InputError, match=r"sound of the.*odd\.mkv"):
        split(path)


def test_a_file_of_sound_alone_lacks_the_pictures(tmp_path: Path) -> None:
    assert sorted(split(write_film(tmp_path / "song.mp4", frames=0, sound="aac"))) == ["audio"]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_part_of_the_sound(tmp_path: Path, name: str) -> None:
    path = write_film(tmp_path / name, sound="flac", frames=100)
    whole = sound_of(path)["array"]
    assert len(whole) == 4 * RATE
    for start, end in ((0.5, 1.25), (None, 1.0), (2.5, None), (2.0, 9.0)):
        part = sound_of(path, start=start, end=end)["array"]
        first, last = round((start or 0) * RATE), min(4 * RATE, round((end or 4.0) * RATE))
        assert np.array_equal(part, whole[first:last]), (start, end)
    assert sound_of(Part(path=path, start=8.0, end=9.0)) is None
    with pytest.raises(InputError, match="lasts longer than 2 s"):
        sound_of(path, max_seconds=2.0)


def test_a_manifest_of_films(tmp_path: Path) -> None:
    write_film(tmp_path / "mute.mp4", frames=50)
    write_film(tmp_path / "loud.mkv", sound="flac", frames=50)
    (tmp_path / "bad.mp4").write_bytes(b"words")
    rows = [
        {"id": "1", "film": "mute.mp4", "text": "a", "from": 0.5, "to": 1.5},
        {"id": "2", "film": "loud.mkv", "text": "b", "from": 0.5, "to": 1.5},
        {"id": "3", "film": None, "text": "c"},
        {"id": "4", "film": "bad.mp4", "text": "d"},
        {"id": "5", "film": "loud.mkv", "text": "e", "from": "early"},
    ]
    manifest = tmp_path / "films.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kind = get_catalog().component("dataset", "film_manifest")
    assert kind is FilmManifest
    data = kind(manifest, column="film", slots={"text": "text"}, start_column="from", end_column="to")
    assert [sorted(data[i].values) for i in range(3)] == [["text", "video"], ["audio", "text", "video"], ["text"]]
    assert len(data[1].values["audio"]["array"]) == RATE and data[0].keys["video"] != data[1].keys["video"]
    for index, cause in ((3, r"'4'.*bad\.mp4"), (4, "'5'.*'from'.*'early'")):
        with pytest.raises(InputError, match=cause):
            data[index]
    tensors = ProcessedDataset(data, processor(), slots=["video", "audio"])[1].tensors
    assert tensors["video"]["times_T"].shape == (3,)
    with pytest.raises(ConfigError, match="differ"):
        FilmManifest(manifest, column="film", video="audio")
    with pytest.raises(ConfigError, match="no column 'begin'"):
        FilmManifest(manifest, column="film", start_column="begin")


def test_embeddings_of_films_with_and_without_sound(tmp_path: Path) -> None:
    from omni.core.model import ModelConfig, OmniModel
    from omni.encoding import encode_values

    adapters = {"video": {"image_size": 32}, "audio": {"stem": "log_mel", "position_groups": 4}}
    config = ModelConfig(
        width=32,
        num_layers=1,
        num_heads=2,
        ffn_width=64,
        embedding_width=8,
        slots={"video": "video", "audio": "audio"},
        adapters=adapters,
    )
    model, made = OmniModel(config).eval(), processor()
    paths = [write_film(tmp_path / "mute.mp4"), write_film(tmp_path / "loud.mkv", sound="flac")]
    sounds = [sound_of(path) for path in paths]
    assert encode_values(model, made, "video", paths, num_workers=0).isfinite().all()
    embedded = encode_values(model, made, "audio", sounds, allow_missing=True, num_workers=0)
    assert embedded.isnan().all(1).tolist() == [True, False] and embedded[1].isfinite().all()
