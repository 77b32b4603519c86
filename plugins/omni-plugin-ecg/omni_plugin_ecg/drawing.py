"""Draws a recording on the usual paper: 25 mm a second, 10 mm a millivolt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from omni.errors import MissingDependencyError
from omni_plugin_ecg.recording import Ecg

MM_A_SECOND, MM_A_MILLIVOLT, ROW_MM = 25.0, 10.0, 22.0
NOTICE = "Research software, not a medical device"


def draw(ecg: Ecg, path: str | os.PathLike[str], *, seconds: float = 5.0, dots_per_inch: int = 70) -> Path:
    """One row a lead in two columns, true to scale; gaps stay empty.

    Args:
        ecg: the recording; offsets are taken off each lead for the drawing.
        path: of the picture; its ending is the format (.png, .svg, .pdf).
        seconds: how much of it.
        dots_per_inch: of raster pictures.

    Returns:
        The path.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("Drawing needs matplotlib: pip install 'omni-plugin-ecg[plots]'.") from error
    rows = -(-len(ecg.leads) // 2)
    columns = 2 if len(ecg.leads) > 1 else 1
    width, height = columns * seconds * MM_A_SECOND, rows * ROW_MM + 12
    figure = Figure(figsize=(width / 25.4, height / 25.4), dpi=dots_per_inch)
    axes = figure.add_axes((0, 0, 1, 1))
    _paper(axes, width, height)
    count = min(ecg.signal_CT.shape[1], round(seconds * ecg.sample_rate))
    across = np.arange(count) / ecg.sample_rate * MM_A_SECOND
    for index, lead in enumerate(ecg.leads):
        column, row = divmod(index, rows)
        values = ecg.signal_CT[index, :count].double().numpy().copy()
        valid = ecg.valid_CT[index, :count].numpy()
        values[~valid] = np.nan
        values -= np.nanmedian(values) if valid.any() else 0.0
        x, y = column * seconds * MM_A_SECOND, height - (row + 0.65) * ROW_MM
        axes.plot(x + across, y + values * MM_A_MILLIVOLT, color="black", linewidth=0.7)
        axes.text(x + 1.5, y + 6, lead, fontsize=8, fontweight="bold")
    note = f"{MM_A_SECOND:g} mm/s, {MM_A_MILLIVOLT:g} mm/mV, {ecg.sample_rate:g} Hz. {NOTICE}"
    axes.text(1.5, 1.5, note, fontsize=6)
    figure.savefig(path)
    return Path(path)


def _paper(axes: Any, width: float, height: float) -> None:
    for step, line in ((1, 0.2), (5, 0.6)):
        axes.vlines(np.arange(0, width + 1, step), 0, height, color="#f0b8b8", linewidth=line)
        axes.hlines(np.arange(0, height + 1, step), 0, width, color="#f0b8b8", linewidth=line)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
