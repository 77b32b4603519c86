"""The parts of the simulation on bodies and hearts made by formula."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from omni.data.building.counter_rng import CounterRng
from omni.errors import InputError
from omni_plugin_clinic.latents import PATTERNS, RHYTHMS, SHADOWS
from omni_plugin_clinic.simulation import (
    anatomy,
    case,
    heartbeat,
    laboratory,
    open_i,
    projection,
    pulse,
    radiograph,
    rhythm,
)
from omni_plugin_clinic.simulation import reports as wording
from omni_plugin_ecg.io import load as load_ecg
from omni_plugin_ecg.io import synthetic
from omni_plugin_tabular.io import load as load_row
from omni_plugin_xray.io import load as load_xray


@pytest.fixture(scope="module")
def phantom() -> anatomy.Anatomy:
    """A cylinder of water with two lungs of air, a heart and a spine."""
    z, y, x = np.mgrid[-1:1:24j, -1:1:32j, -1:1:32j]
    hu = np.where((y / 0.6) ** 2 + (x / 0.85) ** 2 < 1, 20.0, -1000.0)
    lungs = {}
    for side, middle in (("right", 0.42), ("left", -0.42)):
        lungs[side] = (y / 0.42) ** 2 + ((x - middle) / 0.3) ** 2 + ((z - 0.1) / 0.75) ** 2 < 1
        hu[lungs[side]] = -850
    heart = (y - 0.1) ** 2 / 0.06 + (x + 0.08) ** 2 / 0.05 + (z + 0.2) ** 2 / 0.08 < 1
    hu[heart] = 45
    lungs = {side: mask & ~heart for side, mask in lungs.items()}
    hu[(y + 0.5) ** 2 + x**2 < 0.012] = 400
    spacing = (13.0, 11.0, 11.0)
    hu = hu.astype(np.float32)
    return anatomy.Anatomy(
        hu_ZYX=hu, spacing=spacing, coarse_hu_ZYX=hu, coarse_spacing=spacing, heart_ZYX=heart, lungs_ZYX=lungs
    )


@pytest.fixture(scope="module")
def maps(phantom) -> np.ndarray:
    return radiograph.Projector(phantom).maps("test", 0)


@pytest.fixture(scope="module")
def beat() -> heartbeat.Beat:
    signal = synthetic(pulse.LEADS, seconds=10, sample_rate=500, beats_per_minute=66).numpy() * 1000.0
    found = heartbeat.take_beat(signal)
    assert found is not None
    return found


def test_rays_sum_the_attenuation_along_their_way():
    block = np.zeros((1, 40, 40, 40), np.float32)
    block[:, 10:30, 10:30, 10:30] = 0.02  # 100 mm of water
    sums = projection.project(block, (5.0, 5.0, 5.0), projection.Pose(rise=-projection.CENTRE_MM), side=65, step_mm=1.0)
    assert sums[0, 32, 32] == pytest.approx(2.0, rel=0.01)
    corner = sums[0, 0, 0]
    assert corner == 0
    across = (sums[0, 32] > 1.0).sum() * projection.FIELD_MM / 65
    near, far = (projection.TUBE_MM / (projection.TUBE_MM - 150 + depth) for depth in (50, -50))
    assert 100 * near - 6 < across < 100 * far + 6  # the cone magnifies


def test_the_patients_right_is_left_in_the_picture_and_the_head_on_top(phantom):
    def middle_of(volume):
        seen = projection.project(volume[None], phantom.coarse_spacing, projection.Pose(), side=64, step_mm=4.0)[0]
        row, column = np.indices(seen.shape)
        return (row * seen).sum() / seen.sum(), (column * seen).sum() / seen.sum()

    upper_right, upper_left, mid_right, mid_left = (
        middle_of(phantom.shadow(kind, CounterRng("place", kind))) for kind in range(1, len(SHADOWS))
    )
    assert upper_right[1] < 32 < upper_left[1] and mid_right[1] < 32 < mid_left[1]
    assert upper_right[0] < mid_right[0] and upper_left[0] < mid_left[0]


def test_findings_only_add_and_grow(phantom, maps):
    hearts, fluids = phantom.hearts(), phantom.fluids()
    assert hearts.min() >= 0 and (np.diff(hearts.sum((1, 2, 3))) > 0).all()
    alone, beside = fluids[:6].reshape(2, 3, -1), fluids[6:].reshape(2, 3, -1)
    assert (np.diff(alone.sum(2), axis=1) > 0).all() and (beside <= alone + 1e-6).all()
    assert maps.shape == (radiograph.NUM_MAPS, radiograph.NATIVE, radiograph.NATIVE) and maps.min() >= 0


def test_a_radiograph_is_of_what_is_drawn(maps):
    pictures = {}
    for c, f, s in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        view, weights = radiograph.draw_view(c, f, s, 1, CounterRng("view"))
        used = np.flatnonzero(weights)
        assert (view.shadow >= 0) == bool(s) and bool(view.fluid) == bool(f) and (view.heart > 1.2) == bool(c)
        pictures[c, f, s] = radiograph.expose(maps, weights, CounterRng("exposure"), side=64)
        assert len(used) >= 2 and pictures[c, f, s].shape == (64, 64)
    plain = pictures.pop((0, 0, 0)).astype(int)
    _, weights = radiograph.draw_view(0, 0, 0, 1, CounterRng("view"))
    again = radiograph.expose(maps, weights, CounterRng("exposure"), side=64)
    assert (plain == again).all() and plain.std() > 20
    for picture in pictures.values():
        assert np.abs(picture.astype(int) - plain).max() > 15
    shown = load_xray(radiograph.to_png(again))
    assert shown.levels_HW.shape == (64, 64) and (shown.levels_HW // 257 == again).all()


def test_a_beat_is_found_in_its_parts(beat):
    assert 36 <= beat.qrs_CT.shape[1] <= 75 and 25 <= beat.p_CT.shape[1] <= 75
    assert beat.p_CT[1].max() == pytest.approx(120, rel=0.25)  # II's P wave of the formula
    assert beat.t_CT[1].max() / beat.t_CT[0].max() == pytest.approx(0.28 / 0.20, rel=0.1)  # II's to I's
    assert np.abs(beat.t_CT[:, -1]).max() < 5 and np.abs(beat.p_CT[:, [0, -1]]).max() < 10
    noise = np.random.default_rng(0).standard_normal((8, 5000)) * 300
    assert heartbeat.take_beat(noise) is None


@pytest.mark.parametrize("e", range(len(RHYTHMS)))
def test_a_recording_has_the_rate_and_voltage_that_were_asked(beat, e):
    for c in (0, 1):
        rng = CounterRng("recording", e, c)
        setting = rhythm.draw_setting(c, e, rng)
        made = rhythm.make_recording(beat, setting, rng, seconds=20)
        peaks = heartbeat.find_peaks(made)
        intervals = np.diff(peaks) / 500
        irregular = RHYTHMS[e] == "irregular"
        assert 60 / intervals.mean() == pytest.approx(setting.rate, rel=0.12 if irregular else 0.03)
        assert (intervals.std() / intervals.mean() > 0.1) == irregular
        ends = [peak for peak in peaks if 60 < peak < made.shape[1] - 60]
        height = np.median([heartbeat.sokolow(made[:, at - 45 : at + 45] - made[:, [at - 45]]) for at in ends]) / 1000
        assert height == pytest.approx(setting.voltage_mv, rel=0.15) and (height > 3.3) == bool(c)
        assert (setting.pr_ms is None) == irregular
    saved = rhythm.stored(rhythm.make_recording(beat, setting, rng))
    ecg = load_ecg(case.to_npz(saved))
    assert saved.shape == (8, 500) and ecg.sample_rate == 100 and len(ecg.leads) == 12 and ecg.seconds == 5
    assert ecg.signal_CT[ecg.leads.index("V5")].numpy() * 1000 == pytest.approx(saved[6], abs=0.01)
    assert case.to_npz(saved) == case.to_npz(saved)


def test_the_generator_takes_the_published_names(tmp_path: Path):
    network = pulse.Pulse2Pulse()
    own = network.state_dict()
    names = {f"down.{place}": f"conv_{place + 1}" for place in range(6)}
    names |= {f"up.{place}": f"deconv_{number}.conv1d" for place, number in enumerate((1, 2, 3, 5, 6, 7))}
    theirs = {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in own.items()}
    content = io.BytesIO()
    torch.save({"stat_dict": theirs}, content)
    with zipfile.ZipFile(tmp_path / "wheel.whl", "w") as wheel:
        wheel.writestr(pulse.MEMBER, content.getvalue())
    loaded = pulse.load_generator(tmp_path / "wheel.whl")
    assert all((value == own[key]).all() for key, value in loaded.state_dict().items())
    made = pulse.generate(loaded, "seed")
    assert made.shape == (8, 5000) and np.abs(made).max() <= 6000 and (made == pulse.generate(loaded, "seed")).all()
    (tmp_path / "other.whl").write_bytes(b"no zip")
    with pytest.raises(InputError, match="fetch the package again"):
        pulse.load_generator(tmp_path / "other.whl")


def test_laboratory_values_show_fluid_and_pattern_and_nothing_else():
    def middle(f, kind):
        rows = [laboratory.draw_values(f, kind, CounterRng("lab", f, kind, row)) for row in range(120)]
        return dict(zip(laboratory.NAMES, np.nanmedian(rows, 0), strict=True)), np.isnan(rows).mean()

    plain, missing = middle(0, 0)
    assert 0.05 < missing < 0.11 and len(laboratory.NAMES) >= 50
    for item in laboratory.ANALYTES:
        low, high = (min(item.low, *item.men), max(item.high, *item.men)) if item.men else (item.low, item.high)
        assert low <= plain[item.name] <= high, item.name
    fluid, _ = middle(1, 0)
    assert fluid["NT-proBNP"] > 400 and fluid["Albumin"] < 3.5
    signs = {1: ("Hemoglobin", -1), 2: ("Creatinine", 1), 3: ("C-reactive protein", 1), 4: ("ALT", 1)}
    for kind, (name, sign) in signs.items():
        found, _ = middle(0, kind)
        item = laboratory.ANALYTES[laboratory.NAMES.index(name)]
        assert found[name] > item.high if sign > 0 else found[name] < item.low, PATTERNS[kind]
        assert found["NT-proBNP"] < 180 and found["Albumin"] > 3.5
    row = load_row(laboratory.as_row(laboratory.draw_values(1, 2, CounterRng("one"))))
    assert row.units["Creatinine"] == "mg/dL" and 40 < len(row.numbers) < 58


def test_reports_say_what_is_shown():
    texts = {wording.write_report(1, 3, {"left": 0.3}, CounterRng("w", number)) for number in range(40)}
    assert len(texts) > 25
    for text in texts:
        low = text.lower()
        assert "right" in low and "left" in low and "moderate" in low and ("enlarged" in low or "cardiomegaly" in low)
    assert "{" not in "".join(texts)


def test_real_reports_are_chosen_by_their_labels(tmp_path: Path):
    def entry(number, text, *labels):
        majors = "".join(f"<major>{label}</major>" for label in labels)
        return (
            f'<eCitation><IUXRId id="{number}"/><AbstractText Label="FINDINGS">{text}</AbstractText>'
            f'<AbstractText Label="IMPRESSION"/><MeSH>{majors}</MeSH></eCitation>'
        )

    files = [
        entry(1, "Clear.", "normal"), entry(2, "Big heart.", "Cardiomegaly/mild"),
        entry(3, "Fluid.", "Pleural Effusion/left"), entry(4, "Hazy.", "Opacity/lung/upper lobe/right"),
        entry(5, "Round.", "Nodule/lung/left", "Cardiomegaly"), entry(6, "Unlabelled.", "No Indexing"),
    ]  # fmt: skip
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for number, text in enumerate(files):
            info = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr(open_i.MEMBER, packed.getvalue())
    reports = open_i.read_reports(tmp_path / "x.whl")
    assert [report.text for report in reports] == ["Clear.", "Big heart.", "Fluid.", "Hazy.", "Round."]

    def chosen(*state):
        report, agrees = open_i.choose_report(reports, *state, CounterRng("choice"))
        return report.text, agrees

    assert chosen(1, 0, 0) == ("Big heart.", {"c": True, "f": True, "s": True})
    assert chosen(0, 0, 1) == ("Hazy.", {"c": True, "f": True, "s": True})
    assert chosen(1, 0, 4)[0] == "Round." and chosen(0, 1, 2) == ("Fluid.", {"c": True, "f": True, "s": False})
