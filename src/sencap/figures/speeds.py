"""Speeds as bars, in groups: what `sencap bench` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sencap.errors import SettingsError
from sencap.figures.files import DRAWN, check_path
from sencap.figures.sheet import (
    BLUE,
    INK,
    PALE,
    TEXT,
    TWO_COLUMNS,
    VERMILION,
    save_figure,
    wrap,
)

# Of the engines; names stand beside the bars too.
COLOURS = {"onnx": BLUE, "onnx-int8": BLUE, "torch": VERMILION}
BAR, GAP = 0.19, 0.3  # inches: from bar to bar, and the heading of a group


@dataclass(frozen=True)
class SpeedBar:
    """A bar: group, name, the engine for its colour, each round's seconds a pair, a
    note at its end."""

    group: str
    name: str
    engine: str
    seconds: Sequence[float]
    label: str = ""


def speeds_plot(bars: Sequence[SpeedBar], path: str | Path, *, note: str = "") -> Path:
    """Bars of pairs per second: the median of the rounds, and a line from the lowest to
    the highest.

    ``note`` stands below, for hardware and data. path: a .png, .pdf or .svg file.
    Returns the path.

    Raises:
        SettingsError: no bars, or a path that cannot be.
        MissingDependencyError: matplotlib is not installed.
    """
    path = check_path(path, endings=DRAWN)
    if not bars:
        raise SettingsError("there is nothing to draw: give at least one bar")
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)

    lines = wrap(note, TWO_COLUMNS - 0.3)
    groups = list(dict.fromkeys(bar.group for bar in bars))
    height = BAR * (len(bars) + len(lines)) + GAP * len(groups) + 0.6
    figure = Figure(
        figsize=(TWO_COLUMNS, height), layout="constrained", facecolor="white"
    )
    axes = figure.add_subplot()
    y = 0.0
    for number, bar in enumerate(bars):
        if number == 0 or bar.group != bars[number - 1].group:
            y += GAP
            axes.text(
                0.0,
                y - BAR / 2,
                f" {bar.group}",
                va="bottom",
                fontsize=TEXT,
                fontweight="bold",
                color=INK,
            )
        # Seconds a pair, by round → pairs a second.
        speeds = 1 / np.asarray(bar.seconds)
        median = float(np.median(speeds))
        axes.barh(y, median, BAR * 0.8, color=COLOURS.get(bar.engine, PALE))
        axes.plot([speeds.min(), speeds.max()], [y, y], color=INK, linewidth=0.9)
        told = f"{median:.3g}   {bar.label}" if bar.label else f"{median:.3g}"
        end = float(speeds.max()), y
        style: Any = {"va": "center", "fontsize": TEXT, "color": INK}
        axes.annotate(told, end, (4, 0), textcoords="offset points", **style)
        left = axes.get_yaxis_transform()  # x as a share of the axes
        axes.text(-0.01, y, bar.name, transform=left, ha="right", **style)
        y += BAR
    axes.set_ylim(y, 0)
    axes.set_yticks([])
    # With room for the notes at the bars' ends.
    axes.set_xlim(0, 1.25 * max(1 / min(bar.seconds) for bar in bars))
    axes.tick_params(labelsize=TEXT)
    label = "pairs per second, from PNG files to words (×: times the field's way)"
    axes.set_xlabel(label, fontsize=TEXT)
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.supxlabel("\n".join(lines), fontsize=TEXT, color=INK)
    return save_figure(figure, path)
