"""One case: its radiograph, ECG, laboratory values and report, each from seeds of its own."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni_plugin_clinic.latents import Latents
from omni_plugin_clinic.simulation import laboratory, radiograph, reports, rhythm
from omni_plugin_clinic.simulation.heartbeat import Beat
from omni_plugin_clinic.simulation.open_i import Report, choose_report
from omni_plugin_clinic.simulation.pulse import LEADS

_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the cases of a split are made of.

    Attributes:
        split: its name. latents: of its cases. maps: of its poses (see radiograph.Projector). beats: its hearts.
        side: of a radiograph in pixels. reports: real ones to choose from, None = templates.
    """

    split: str
    latents: Latents
    maps: list[np.ndarray]
    beats: list[Beat]
    side: int
    reports: list[Report] | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is stored of a case: files as bytes, values (A,), and what is known of it."""

    xray: bytes
    ecg: bytes
    labs: np.ndarray
    facts: dict[str, Any]


def make_case(material: Material, index: int) -> Case:
    """The case with this number in its split."""
    latents, seed = material.latents, ("simclinic", material.split, index)
    c, f, e, s = (int(values[index]) for values in (latents.c_N, latents.f_N, latents.e_N, latents.s_N))
    view, weights = radiograph.draw_view(c, f, s, len(material.maps), CounterRng(*seed, "view"))
    pixels = radiograph.expose(
        material.maps[view.pose], weights, CounterRng(*seed, "exposure"), side=material.side
    )
    rng = CounterRng(*seed, "ecg")
    setting = rhythm.draw_setting(c, e, rng)
    heart = int(rng.integers(len(material.beats), (1,))[0])
    recording_CT = rhythm.stored(rhythm.make_recording(material.beats[heart], setting, rng))
    text, facts = _report(material, c, f, s, view, CounterRng(*seed, "text"))
    return Case(
        xray=radiograph.to_png(pixels),
        ecg=to_npz(recording_CT),
        labs=make_labs(latents, material.split, index),
        facts={"text": text, "xray": view.to_dict(), "ecg": {"heart": heart, **setting.to_dict()}, **facts},
    )


def make_labs(latents: Latents, split: str, index: int) -> np.ndarray:
    """The laboratory values of a case, (A,) float64; see laboratory.draw_values."""
    rng = CounterRng("simclinic", split, index, "labs")
    return laboratory.draw_values(int(latents.f_N[index]), int(latents.l_N[index]), rng)


def to_npz(recording_CT: np.ndarray) -> bytes:
    """int16 (8, T) in microvolts -> a .npz that the modality ecg reads; the same bytes every time."""
    buffer = io.BytesIO()
    parts = {"array": recording_CT, "sample_rate": np.array(rhythm.STORED_RATE), "unit": np.array("uV"),
             "leads": np.array(LEADS)}  # fmt: skip
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in parts.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            entry.create_system = 3
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def _report(
    material: Material, c: int, f: int, s: int, view: radiograph.View, rng: CounterRng
) -> tuple[str, dict[str, Any]]:
    if material.reports is None:
        return reports.write_report(c, s, view.fluid, rng), {}
    report, agrees = choose_report(material.reports, c, f, s, rng)
    return report.text, {"report": {"id": report.id, "agrees": agrees}}
