"""S*_m against one setting, with what it costs in panels below (Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sencap.errors import SettingsError
from sencap.figures.files import DRAWN, check_path
from sencap.figures.sheet import (
    BLUE,
    GREEN,
    INK,
    ONE_COLUMN,
    TEXT,
    TWO_COLUMNS,
    VERMILION,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BY_DIMENSION = "embedding width D (channels)"
BY_BEAM = "beam size (hypotheses)"
BY_DEPTH = "ResNet depth (layers)"
SCORE, PARAMETERS, SPEED = "$S^*_m$ (× 100)", "parameters\n(millions)", "speed\n(pairs/s)"


@dataclass(frozen=True)
class SweepPoint:
    """What was measured at one value of the setting.

    scores: S*_m × 100, one per seed. parameters: their number, not in millions. speeds: pairs per
    second, one per run.
    """

    setting: float | str
    scores: Sequence[float]
    parameters: int | None = None
    speeds: Sequence[float] = ()


@dataclass(frozen=True)
class Sweep:
    """One setting: its name with its unit, as `BY_DIMENSION`, `BY_BEAM` or `BY_DEPTH`, and its
    points in order.

    Raises:
        SettingsError: no points, or one without a score.
    """

    label: str
    points: Sequence[SweepPoint]

    def __post_init__(self) -> None:
        if not self.points:
            raise SettingsError(f"the sweep of {self.label!r} has no points")
        for point in self.points:
            if not len(point.scores):
                raise SettingsError(f"the sweep of {self.label!r} has no score at {point.setting}")


def sweep_plot(
    points: Sequence[SweepPoint], path: str | Path, *, label: str, note: str = ""
) -> Path:
    """One sweep, one column wide; ``label`` names the setting with its unit. Else as
    `sweep_plots`."""
    return sweep_plots([Sweep(label, points)], path, note=note)


def sweep_plots(sweeps: Sequence[Sweep], path: str | Path, *, note: str = "") -> Path:
    """Sweeps side by side: mean and standard deviation of S*_m above; parameters and speed, where
    known, below.

    Settings stand at equal distances. Every seed is a small dot; the bar is the sample's standard
    deviation, drawn from two seeds on. Columns have one score axis. ``note`` stands below, for
    hardware and data. path: a .png, .pdf or .svg file. Returns the path.

    Raises:
        SettingsError: no sweeps, or a path that cannot be.
        MissingDependencyError: matplotlib is not installed.
    """
    path = check_path(path, endings=DRAWN)
    if not sweeps:
        raise SettingsError("there is nothing to draw: give at least one sweep")
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)

    points = [point for sweep in sweeps for point in sweep.points]
    heights = [1.9, *[0.85] * max(_costs(sweep) for sweep in sweeps)]
    width = ONE_COLUMN if len(sweeps) == 1 else TWO_COLUMNS
    figure = Figure(figsize=(width, sum(heights) + 0.75), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(len(heights), len(sweeps), height_ratios=heights)
    first: Axes | None = None
    for column, sweep in enumerate(sweeps):
        top = figure.add_subplot(grid[0, column], sharey=first)
        first = first or top
        _scores(top, sweep)
        panels = [top]
        if _has_parameters(sweep):
            panels.append(figure.add_subplot(grid[1, column], sharex=top))
            _parameters(panels[-1], sweep)
        if _has_speed(sweep):
            panels.append(figure.add_subplot(grid[len(panels), column], sharex=top))
            _speed(panels[-1], sweep)
        for panel in panels:
            _tidy(panel, last=panel is panels[-1])
        panels[-1].set_xticks(
            range(len(sweep.points)), [_name(point.setting) for point in sweep.points]
        )
        panels[-1].set_xlabel(sweep.label, fontsize=TEXT)
        if len(sweeps) > 1:
            top.set_title(f"({chr(97 + column)})", fontsize=TEXT + 1, loc="left", fontweight="bold")
            if column:
                top.set_ylabel("")
                top.tick_params(labelleft=False)
    seeds = sorted({len(point.scores) for point in points})
    counted = " to ".join(str(n) for n in sorted({seeds[0], seeds[-1]}))
    drawn = "mean ± standard deviation of" if seeds[-1] > 1 else ""
    text = " ".join(part for part in (drawn, counted, "seeds" if seeds[-1] > 1 else "seed") if part)
    figure.supxlabel("; ".join(part for part in (text, note) if part), fontsize=TEXT, color=INK)
    return save_figure(figure, path)


def _has_parameters(sweep: Sweep) -> bool:
    return any(point.parameters is not None for point in sweep.points)


def _has_speed(sweep: Sweep) -> bool:
    return any(len(point.speeds) > 0 for point in sweep.points)


def _costs(sweep: Sweep) -> int:
    return _has_parameters(sweep) + _has_speed(sweep)


def _scores(axes: Axes, sweep: Sweep) -> None:
    means = [float(np.mean(point.scores)) for point in sweep.points]
    spreads = [
        float(np.std(point.scores, ddof=1)) if len(point.scores) > 1 else 0.0
        for point in sweep.points
    ]
    axes.errorbar(
        range(len(means)),
        means,
        spreads,
        color=BLUE,
        marker="o",
        markersize=4,
        linewidth=1.2,
        capsize=2.5,
    )
    for x, point in enumerate(sweep.points):
        if len(point.scores) > 1:
            axes.plot(
                [x + 0.12] * len(point.scores),
                point.scores,
                ".",
                color=INK,
                markersize=3,
                alpha=0.6,
            )
    axes.set_ylabel(SCORE, fontsize=TEXT)


def _parameters(axes: Axes, sweep: Sweep) -> None:
    for x, point in enumerate(sweep.points):
        if point.parameters is not None:
            millions = point.parameters / 1e6
            axes.bar(x, millions, 0.5, color=VERMILION)
            axes.annotate(f"{millions:.3g}", (x, millions), (0, 1), textcoords="offset points",
                          ha="center", va="bottom", fontsize=TEXT)  # fmt: skip
    axes.margins(y=0.35)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(PARAMETERS, fontsize=TEXT)


def _speed(axes: Axes, sweep: Sweep) -> None:
    known = [(x, point.speeds) for x, point in enumerate(sweep.points) if len(point.speeds)]
    means = [float(np.mean(speeds)) for _, speeds in known]
    spreads = [float(np.std(speeds, ddof=1)) if len(speeds) > 1 else 0.0 for _, speeds in known]
    axes.errorbar(
        [x for x, _ in known], means, spreads,
        color=GREEN, marker="s", markersize=4, linewidth=1.2, linestyle="--", capsize=2.5,
    )  # fmt: skip
    axes.margins(y=0.2)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=4)
    axes.set_ylabel(SPEED, fontsize=TEXT)


def _tidy(axes: Axes, *, last: bool) -> None:
    axes.tick_params(labelsize=TEXT, labelbottom=last)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _name(setting: float | str) -> str:
    return setting if isinstance(setting, str) else f"{setting:g}"
