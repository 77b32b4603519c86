"""One file, two slots; what has no sound lacks the slot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from video_fixture import RATE, write_film

from omni.data.datasets import ProcessedDataset
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError
from omni.plugin.catalog import get_catalog
from omni.types import Sample
from omni_plugin_video.films import FilmManifest
from omni_plugin_video.io import Part
from omni_plugin_video.sound import sound_of, split


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
