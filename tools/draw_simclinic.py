"""Draws a page of simclinic's cases: radiograph, three ECG leads, the laboratory values that stand out, the report.

python tools/draw_simclinic.py OUTPUT.png [--edition bench] [--split test]
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from omni_plugin_clinic.simclinic import SimClinic
from omni_plugin_clinic.simulation.laboratory import ANALYTES
from omni_plugin_ecg.io import load as load_ecg
from omni_plugin_xray.io import load as load_xray

SHOWN_LEADS = ("II", "V1", "V5")
NOTE = "Simulated, not for clinical use."


def main() -> None:
    """Four cases, one of each combination of heart and fluid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--edition", default="bench")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    data = SimClinic(arguments.edition, split=arguments.split)
    latents = data.latents
    rows = [(0, 0, 0, 0), (0, 1, 1, 1), (1, 0, 2, 2), (1, 1, 4, 4)]
    figure = Figure(figsize=(11, 2.75 * len(rows)), dpi=80)
    for row, (c, f, e, l) in enumerate(rows):  # noqa: E741
        wanted = (latents.c_N == c) & (latents.f_N == f) & (latents.e_N == e) & (latents.l_N == l)
        sample = data[int(np.flatnonzero(wanted)[0])]
        axes = [figure.add_subplot(len(rows), 3, 3 * row + column + 1) for column in range(3)]
        _radiograph(axes[0], sample)
        _ecg(axes[1], sample)
        _values(axes[2], sample)
    figure.text(0.01, 0.005, f"simclinic, edition {arguments.edition}. {NOTE}", fontsize=8)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.97, bottom=0.03, wspace=0.05, hspace=0.12)
    figure.savefig(arguments.output)


def _radiograph(axes: Any, sample: Any) -> None:
    axes.imshow(load_xray(sample.values["xray"]).levels_HW, cmap="gray", vmin=0, vmax=65535, interpolation="bicubic")
    axes.set_axis_off()


def _ecg(axes: Any, sample: Any) -> None:
    ecg = load_ecg(sample.values["ecg"])
    for row, lead in enumerate(SHOWN_LEADS):
        values = ecg.signal_CT[ecg.leads.index(lead)].numpy()
        time = np.arange(len(values)) / ecg.sample_rate
        axes.plot(time, np.clip(values - np.median(values), -3.5, 3.5) - 4.5 * row, color="black", linewidth=0.6)
        axes.text(0.0, 1.0 - 4.5 * row, lead, fontsize=8, fontweight="bold")
    made = sample.meta["made_with"]["ecg"]
    pr = "no P waves" if made["pr_ms"] is None else f"PR {made['pr_ms']:.0f} ms"
    rest = f"QRS {made['qrs_ms']:.0f} ms, SV1 + RV5/6 {made['voltage_mv']:.1f} mV"
    axes.set_title(f"rate {made['rate']:.0f}, {pr}, {rest}", fontsize=8)
    axes.set_axis_off()


def _values(axes: Any, sample: Any) -> None:
    """The values that are farthest out of their ranges, then the report."""
    lines = []
    for item in ANALYTES:
        if item.name in sample.values["labs"]:
            value, unit = sample.values["labs"][item.name]
            low, high = (min(item.low, *item.men), max(item.high, *item.men)) if item.men else (item.low, item.high)
            out = max(low - value, value - high) / (high - low)
            lines.append((out, f"{item.name} {value:g} {unit} ({item.low:g} to {item.high:g})"))
    shown = [text for out, text in sorted(lines, reverse=True)[:7] if out > 0]
    text = "\n".join(shown or ["(nothing out of range)"])
    text += "\n\n" + textwrap.fill(sample.values["text"], 52)
    axes.text(0.02, 0.98, text, fontsize=8, va="top", transform=axes.transAxes)
    axes.set_axis_off()


if __name__ == "__main__":
    main()
