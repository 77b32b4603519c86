"""The page on pictures and sound: its example runs and prints what the page says; what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "image_and_audio.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    (printed,) = re.findall(r"It prints `(.*?)`", text)
    assert capsys.readouterr().out.strip() == printed
    loaders = names["processor"].loaders
    assert loaders["image"](Path("media/phone.jpg")).pixels_HWC.shape == (320, 240, 3)  # decoded at half the size
    assert loaders["image"](Path("media/logo.png")).pixels_HWC[0, 0].tolist() == [127, 127, 255]


def test_the_options_exist() -> None:
    import inspect

    from omni_plugin_audio import io as audio
    from omni_plugin_audio.transform import LogMel, Wave
    from omni_plugin_image import io as image
    from omni_plugin_image.transform import ImageBasic
    from tools.benchmark import find_benchmarks

    text = PAGE.read_text(encoding="utf-8")
    options = set(re.findall(r"loader=dict\((\w+)=", text))
    assert options == {"background", "frame", "max_pixels", "max_seconds"}
    known = {*inspect.signature(image.load).parameters, *inspect.signature(audio.load).parameters}
    assert options <= known
    assert {"crop_scale", "crop_ratio", "flip", "jitter", "augment"} <= set(inspect.signature(ImageBasic).parameters)
    assert all(
        {"augment", "effects", "min_seconds"} <= set(inspect.signature(kind).parameters) for kind in (Wave, LogMel)
    )
    assert {"jpeg_to_tensor", "wav_to_tensor"} <= set(find_benchmarks())
