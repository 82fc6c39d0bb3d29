"""S*_m against one setting, with what it costs in panels below (Fig. 6)."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
SCORE, PARAMETERS, SPEED = (
    "$S^*_m$ (× 100)",
    "parameters\n(millions)",
    "speed\n(pairs/s)",
)
_LINE: dict[str, Any] = {"markersize": 4, "linewidth": 1.2, "capsize": 2.5}


@dataclass(frozen=True)
class SweepPoint:
    """What was measured at one value of the setting.

    scores: S*_m × 100, one per seed. parameters: their number, not in millions. speeds:
    pairs per second, one per run.
    """

    setting: float | str
    scores: Sequence[float]
    parameters: int | None = None
    speeds: Sequence[float] = ()


@dataclass(frozen=True)
class Sweep:
    """One setting: its name with its unit, as `BY_DIMENSION`, `BY_BEAM` or `BY_DEPTH`,
    and its points in order.

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
                raise SettingsError(
                    f"the sweep of {self.label!r} has no score at {point.setting}"
                )


def sweep_plots(sweeps: Sequence[Sweep], path: str | Path, *, note: str = "") -> Path:
    """Sweeps side by side: mean and standard deviation of S*_m above; parameters and
    speed, where known, below.

    Settings stand at equal distances. Every seed is a small dot; the bar is the
    sample's standard deviation, drawn from two seeds on. Columns have one score axis.
    ``note`` stands below, for hardware and data. path: a .png, .pdf or .svg file.
    Returns the path.

    Raises:
        SettingsError: no sweeps, or a path that cannot be.
        MissingDependencyError: matplotlib is not installed.
    """
    path = check_path(path, endings=DRAWN)
    if not sweeps:
        raise SettingsError("there is nothing to draw: give at least one sweep")
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)

    # The scores are twice as high as each cost: they are what the figure is about.
    heights = [1.9, *[0.85] * max(len(_costs(sweep)) for sweep in sweeps)]
    width = ONE_COLUMN if len(sweeps) == 1 else TWO_COLUMNS
    figure = Figure(
        figsize=(width, sum(heights) + 0.75), layout="constrained", facecolor="white"
    )
    # One column for each setting; columns with fewer costs leave their lowest rows
    # empty.
    grid = figure.add_gridspec(len(heights), len(sweeps), height_ratios=heights)
    first: Axes | None = None
    for column, sweep in enumerate(sweeps):
        top = figure.add_subplot(grid[0, column], sharey=first)
        first = first or top
        _scores(top, sweep)
        last = top
        for row, draw in enumerate(_costs(sweep), start=1):
            # Only the lowest panel of a column has the names of its settings.
            _tidy(last, last=False)
            last = figure.add_subplot(grid[row, column], sharex=top)
            draw(last, sweep)
        _tidy(last, last=True)
        # Equal distances, as settings may be words, and numbers such as 18, 50 and 101
        # lie unevenly.
        names = [_name(point.setting) for point in sweep.points]
        last.set_xticks(range(len(names)), names)
        last.set_xlabel(sweep.label, fontsize=TEXT)
        if len(sweeps) > 1:
            letter = string.ascii_lowercase[column]
            top.set_title(
                f"({letter})", fontsize=TEXT + 1, loc="left", fontweight="bold"
            )
        if column:  # the first column's axis is that of all
            top.set_ylabel("")
            top.tick_params(labelleft=False)
    # A spread without the number of seeds says little, so it is on the figure itself.
    below = _seeds(sweeps)
    if note:
        below = f"{below}; {note}"
    figure.supxlabel(below, fontsize=TEXT, color=INK)
    return save_figure(figure, path)


def _seeds(sweeps: Sequence[Sweep]) -> str:
    """How many seeds are drawn, and what of them."""
    counts: set[int] = set()
    for sweep in sweeps:
        counts.update(len(point.scores) for point in sweep.points)
    fewest, most = min(counts), max(counts)
    if most == 1:
        return "1 seed"
    counted = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"mean ± standard deviation of {counted} seeds"


def _costs(sweep: Sweep) -> list[Callable[[Axes, Sweep], None]]:
    """What draws the panels below the scores: of the costs that are known."""
    panels: list[Callable[[Axes, Sweep], None]] = []
    if any(point.parameters is not None for point in sweep.points):
        panels.append(_parameters)
    if any(point.speeds for point in sweep.points):
        panels.append(_speed)
    return panels


def _spread(values: Sequence[float]) -> float:
    """The sample's standard deviation, 0 of a single value."""
    # The sample's deviation divides by n − 1, which one value does not have.
    if len(values) == 1:
        return 0.0
    return float(np.std(values, ddof=1))


def _scores(axes: Axes, sweep: Sweep) -> None:
    means = [float(np.mean(point.scores)) for point in sweep.points]
    spreads = [_spread(point.scores) for point in sweep.points]
    axes.errorbar(range(len(means)), means, spreads, color=BLUE, marker="o", **_LINE)
    for x, point in enumerate(sweep.points):
        count = len(point.scores)
        if count > 1:  # beside the mean, not over it
            axes.plot(
                [x + 0.12] * count,
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
            bar = axes.bar(x, millions, 0.5, color=VERMILION)
            axes.bar_label(bar, [f"{millions:.3g}"], padding=1, fontsize=TEXT)
    # Room for the numbers on the bars; bars begin at 0, or their lengths would lie.
    axes.margins(y=0.35)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(PARAMETERS, fontsize=TEXT)


def _speed(axes: Axes, sweep: Sweep) -> None:
    # Speeds may be known at some settings only: the line joins those.
    known = {x: point.speeds for x, point in enumerate(sweep.points) if point.speeds}
    means = [float(np.mean(speeds)) for speeds in known.values()]
    spreads = [_spread(speeds) for speeds in known.values()]
    axes.errorbar(
        list(known), means, spreads, color=GREEN, marker="s", linestyle="--", **_LINE
    )
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
    if isinstance(setting, str):
        return setting
    return f"{setting:g}"
