"""Which frames are chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.errors import ConfigError, InputError
from omni_plugin_video.sampling import KINDS, Sampling

EVEN = np.arange(100) / 25  # four seconds


def chosen(
    times: np.ndarray = EVEN, end: float = 4.0, *, training: bool = False, window=(None, None), **settings
) -> list:
    return Sampling(**settings).indices(times, end, window=window, training=training).tolist()


def test_uniform_takes_the_middles_of_equal_spans() -> None:
    assert chosen(num_frames=4) == [12, 37, 62, 87]
    assert chosen(num_frames=1) == [50]
    assert chosen(num_frames=100) == list(range(100))
    assert chosen(num_frames=1000) == list(range(100)), "no frame twice"
    assert chosen(np.array([0.0]), 0.0, num_frames=8) == [0] == chosen(np.array([0.0]), 0.04, num_frames=8)


def test_a_variable_rate_is_sampled_by_time() -> None:
    times = np.array([0.0, 0.04, 0.08, 0.12, 2.0, 3.0])
    assert chosen(times, 4.0, num_frames=4) == [3, 4, 5]  # at 0.5, 1.5, 2.5, 3.5 s
    assert chosen(times, 4.0, kind="time", rate=1.0, num_frames=0) == [3, 4, 5]


def test_segments_draw_one_frame_of_each_span_in_training() -> None:
    assert chosen(kind="segments", num_frames=4) == chosen(num_frames=4)
    seen = set()
    for seed in range(200):
        torch.manual_seed(seed)
        made = chosen(kind="segments", num_frames=4, training=True)
        assert [index // 25 for index in made] == [0, 1, 2, 3]
        seen.update(made)
        torch.manual_seed(seed)
        assert chosen(kind="segments", num_frames=4, training=True) == made
    assert len(seen) > 95


def test_dense_takes_every_stride_th_frame() -> None:
    assert chosen(kind="dense", num_frames=5, stride=4) == [42, 46, 50, 54, 58]
    assert chosen(kind="dense", num_frames=3, stride=2, clips=3) == [0, 2, 4, 48, 50, 52, 95, 97, 99]
    assert chosen(kind="dense", num_frames=60, stride=2) == list(range(0, 100, 2)), "a short film gives what it has"
    firsts = set()
    for seed in range(300):
        torch.manual_seed(seed)
        made = chosen(kind="dense", num_frames=5, stride=4, training=True)
        assert np.diff(made).tolist() == [4] * 4
        firsts.add(made[0])
    assert min(firsts) <= 3 and max(firsts) >= 80


def test_time_takes_so_many_frames_a_second() -> None:
    assert chosen(kind="time", rate=1.0, num_frames=0) == [12, 37, 62, 87]
    assert chosen(kind="time", rate=2.0, num_frames=0) == [6, 18, 31, 43, 56, 68, 81, 93]
    assert chosen(kind="time", rate=25.0, num_frames=0) == list(range(100))
    assert chosen(kind="time", rate=2.0, num_frames=4) == chosen(num_frames=4), "thinned evenly"
    assert chosen(kind="time", rate=0.1, num_frames=0) == [99], "at least one"


def test_a_window() -> None:
    assert chosen(num_frames=2, window=(1.0, 2.0)) == [31, 43]
    assert chosen(num_frames=2, window=(3.0, 99.0)) == [81, 93]
    for window in ((4.0, 5.0), (9.0, None), (None, -1.0)):
        with pytest.raises(InputError, match="holds nothing"):
            chosen(window=window)


@settings(max_examples=150, deadline=None)
@given(
    gaps=st.lists(st.floats(0.001, 3.0), min_size=1, max_size=40), kind=st.sampled_from(KINDS),
    num_frames=st.integers(1, 50), stride=st.integers(1, 9), clips=st.integers(1, 4), rate=st.floats(0.05, 60.0),
    training=st.booleans(), first=st.floats(0.0, 5.0),
)  # fmt: skip
def test_what_is_chosen_is_there(gaps, kind, num_frames, stride, clips, rate, training, first) -> None:
    times = first + np.cumsum([0.0, *gaps])[:-1]
    made = chosen(
        times, float(times[-1] + gaps[-1]), kind=kind, num_frames=num_frames, stride=stride, clips=clips, rate=rate,
        training=training,
    )  # fmt: skip
    assert 1 <= len(made) <= min(len(times), num_frames * (clips if kind == "dense" else 1))
    assert made == sorted(set(made)) and made[0] >= 0 and made[-1] < len(times)


@pytest.mark.parametrize("wrong", [{"kind": "some"}, {"num_frames": 0}, {"stride": 0}, {"clips": 0}, {"rate": 0.0}])
def test_wrong_settings(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Sampling(**wrong)


def test_contact_sheets_play_films_and_show_parts_as_frames(tmp_path, monkeypatch):
    import base64
    import io
    import re

    from PIL import Image
    from video_fixture import all_frames, write_film

    from omni.data.contact_sheet import render
    from omni.data.loaders import SlotLoader
    from omni_plugin_video.io import Part, load

    path = write_film(tmp_path / "a.mp4", height=32, width=48)
    loader = SlotLoader("video", modality="video")
    (held,) = re.findall(r'<video [^>]*src="data:video/mp4;base64,([^"]+)"', render(path, loader))
    assert base64.b64decode(held) == path.read_bytes()
    monkeypatch.setattr("omni.data.contact_sheet.MOST_EMBEDDED", 100)
    assert f'src="{path.as_uri()}"' in render(path, loader)  # a large film is linked
    film = load(path)
    part = Part(path=path, start=film.times_T[4], end=film.times_T[6])
    shown = np.asarray(load(part).preview())
    assert shown.shape == (32, 2 * 48, 3)  # two frames lie within
    assert np.array_equal(shown, np.concatenate(list(all_frames(film, [4, 5])), 1))
    (strip,) = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)"', render(part, loader))
    assert Image.open(io.BytesIO(base64.b64decode(strip))).size == (96, 32)
