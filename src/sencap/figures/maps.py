"""Maps on the pixels: by initialisation (Fig. 4), by stage (Fig. 5), each on its own
scale and on a common one.

**own**: each map's colours run from its least to its greatest value, which stand below
  it. Shows
where within a map, and nothing about how much: a flat map, stretched, looks like a
sharp one.
**common**: each map is divided by its mean, and all maps of the figure share one scale
  from the
least to the greatest quotient. 1 is a cell like the others. Networks and stages whose
values differ in size can be compared.
**values**: the values as they are, all on one scale. For maps of one kind only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sencap.errors import SettingsError, ShapeError, nearest
from sencap.figures.files import DRAWN, check_path
from sencap.figures.sheet import LINE, PALE, TWO_COLUMNS, Map, Sheet, ratio, wrap
from sencap.structures import ImagePair

ColourScale = Literal["own", "common", "values"]
QUANTITY = "mean |activation|"
# inches
_LEFT, _RIGHT = 0.22, 0.62  # for the rows' labels, and for the colour bars
_GAP = 0.06  # between cells
_CELL = 1.25  # the widest cell
_ABOVE = 0.04  # between a title and its cell
# Below a row of maps: with their values, and without.
_BELOW_OWN, _BELOW = LINE + 0.06, 0.1
_BETWEEN = 0.12  # below a pair
_STAGES = {"sfe": "SFE", "cagd": "CAGD"}
_DATES = {"bef": "before", "aft": "after"}


@dataclass(frozen=True)
class MapRow:
    """One pair and its maps (h, w) by name, not negative, in the order they are drawn.

    A map with ``bef`` or ``before`` in its name is laid over the image before, others
    over the image after.

    Raises:
        ShapeError: a map that is not (h, w), or has negative or not finite values.
    """

    pair: ImagePair
    maps: Mapping[str, Map]

    def __post_init__(self) -> None:
        for name, values in self.maps.items():
            # NaN is neither
            in_bounds = (values >= 0) & (values < float("inf"))
            if values.ndim != 2 or not in_bounds.all():
                raise ShapeError(
                    f"map {name!r} must be (h, w), finite and not negative; got "
                    f"{values.shape}"
                )


def attention_by_initialisation(
    rows: Sequence[MapRow],
    path: str | Path,
    *,
    scales: Sequence[ColourScale] = ("own", "common"),
    quantity: str = QUANTITY,
) -> Path:
    """Fig. 4: for each pair the map of each initialisation, on its own scale and on the
    common one.

    rows: the pairs; the names of their maps are the initialisations', the same in each
    row. path: a .png, .pdf or .svg file. Returns the path.

    Raises:
        SettingsError: no rows or no maps, rows with different maps, an unknown scale, a
            path that cannot be.
        MissingDependencyError: matplotlib is not installed.
    """
    # The names of initialisations are their titles.
    return _table(rows, path, scales, quantity, {name: name for name in _columns(rows)})


def attention_by_stage(
    rows: Sequence[MapRow],
    path: str | Path,
    *,
    scales: Sequence[ColourScale] = ("own", "common"),
    quantity: str = QUANTITY,
) -> Path:
    """Fig. 5: for each pair the maps after SFE and after CAGD, or of whatever parts a
    system has.

    rows: the pairs with their maps by part, as `sencap.explain.Explanation.parts` names
    them: ``sfe_bef`` becomes "SFE, before". Else as `attention_by_initialisation`.
    """
    return _table(
        rows,
        path,
        scales,
        quantity,
        {name: part_title(name) for name in _columns(rows)},
    )


def part_title(name: str) -> str:
    """What a part of a memory is called in a picture: ``cagd_aft`` → "CAGD, after"."""
    # Parts are named by stage and date, as in "cagd_aft"; other names are shown as they
    # are.
    stem, _, date = name.rpartition("_")
    if date not in _DATES:
        return name.replace("_", " ")
    return f"{_STAGES.get(stem, stem.replace('_', ' '))}, {_DATES[date]}"


def relative(values: Map) -> Map:
    """A map divided by its mean: 1 is a cell like the others. A map of zeros stays."""
    mean = float(values.mean())
    if mean == 0:
        return values
    return values / mean


def limits_of(maps: Sequence[Map]) -> tuple[float, float]:
    """The least and the greatest value of several maps, a little apart where they are
    equal."""
    low = min(float(values.min()) for values in maps)
    high = max(float(values.max()) for values in maps)
    # A map of one value: a scale without length would divide by zero.
    if high == low:
        high = low + 1e-6
    return low, high


def is_before(name: str) -> bool:
    """Whether a map belongs over the image before: a word of its name is ``bef`` or
    ``before``."""
    return not {"bef", "before"}.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def _columns(rows: Sequence[MapRow]) -> list[str]:
    if not rows or not rows[0].maps:
        raise SettingsError(
            "there is nothing to draw: give at least one pair with at least one map"
        )
    names = list(rows[0].maps)
    for row in rows:
        if list(row.maps) != names:
            raise SettingsError(
                f"the pairs have different maps, {names} and {list(row.maps)}; give "
                "all the same, in one order"
            )
    return names


def _table(
    rows: Sequence[MapRow],
    path: str | Path,
    scales: Sequence[ColourScale],
    quantity: str,
    titles: Mapping[str, str],
) -> Path:
    path = check_path(path, endings=DRAWN)
    for scale in scales:
        if scale not in get_args(ColourScale):
            raise SettingsError(
                f"scale={scale!r} is unknown; {nearest(scale, get_args(ColourScale))}"
            )
    # The common scale spans the maps of all pairs, so all of them are collected first.
    everything: list[Map] = []
    for row in rows:
        everything.extend(row.maps.values())
    block = MapBlock(titles, everything, tuple(scales), quantity)
    height = 0.05 + sum(block.height(row.pair) for row in rows)
    sheet = Sheet(_LEFT + (len(titles) + 1) * (block.cell + _GAP) + _RIGHT, height)
    y = 0.05
    for row in rows:
        y = block.draw(sheet, y, row)
    return sheet.save(path)


@dataclass(frozen=True)
class MapBlock:
    """How the maps of a pair are drawn: a row for each scale, the images at their left.

    titles: name of a map → what stands above its column. everything: the maps that the
    common scale spans. quantity: what the maps measure.
    """

    titles: Mapping[str, str]
    everything: Sequence[Map]
    scales: Sequence[ColourScale]
    quantity: str = QUANTITY

    @property
    def cell(self) -> float:
        """The width of a cell, an image or a map."""
        # All columns fit the width of a page, and few columns are not blown up.
        columns = len(self.titles) + 1
        return min(_CELL, (TWO_COLUMNS - _LEFT - _RIGHT) / columns - _GAP)

    @property
    def _head(self) -> float:
        """The height of the titles above the cells, wrapped."""
        titles = [*self.titles.values(), "before"]
        return LINE * max(len(wrap(title, self.cell)) for title in titles) + _ABOVE

    def height(self, pair: ImagePair) -> float:
        """The height of all rows of a pair, with their titles."""
        side = self.cell * ratio(pair.images[0])
        below = sum(_below(scale) for scale in self.scales)
        after = LINE if len(self.scales) > 1 else 0  # the word between the two images
        return self._head + len(self.scales) * side + below + after + _BETWEEN

    def draw(self, sheet: Sheet, y: float, row: MapRow) -> float:
        """One pair, from y downwards; returns where the next thing may begin."""
        self._draw_titles(sheet, y)
        y += self._head
        side = self.cell * ratio(row.pair.images[0])
        # the image before stands beside the first row and the image after beside the
        # second; a single row has the image after
        beside = [1] if len(self.scales) == 1 else [0, 1]
        for number, scale in enumerate(self.scales):
            if number == 1:
                sheet.text(_LEFT + self.cell / 2, y, "after", ha="center")
                y += LINE
            if number < len(beside):
                sheet.image(_LEFT, y, self.cell, row.pair.images[beside[number]])
            self._draw_row(sheet, y, row, scale)
            y += side + _below(scale)
        return y + _BETWEEN

    def _draw_titles(self, sheet: Sheet, y: float) -> None:
        first = "before" if len(self.scales) > 1 else "after"
        for column, title in enumerate([first, *self.titles.values()]):
            lines = wrap(title, self.cell)
            top = y + self._head - _ABOVE - len(lines) * LINE
            for number, line in enumerate(lines):
                sheet.text(
                    self._x(column) + self.cell / 2,
                    top + number * LINE,
                    line,
                    ha="center",
                )

    def _draw_row(
        self, sheet: Sheet, y: float, row: MapRow, scale: ColourScale
    ) -> None:
        """The maps of a pair on one scale, its name at the left and its colour bar at
        the right."""
        side = self.cell * ratio(row.pair.images[0])
        label, middle = _LABELS[scale], y + side / 2
        sheet.text(
            _LEFT - 0.06,
            middle,
            label,
            rotation=90,
            ha="right",
            va="center",
            color=PALE,
        )
        for column, (name, values) in enumerate(row.maps.items(), 1):
            x = self._x(column)
            image = row.pair.images[0 if is_before(name) else 1]
            # What is drawn, and the values at the ends of its colours, by scale.
            shown = relative(values) if scale == "common" else values
            limits = limits_of([values]) if scale == "own" else self._limits(scale)
            sheet.map(x, y, self.cell, image, values=shown, limits=limits)
            if scale == "own":
                said = span(float(values.min()), float(values.max()))
                sheet.text(
                    x + self.cell / 2, y + side + 0.02, said, ha="center", color=PALE
                )
        right = self._x(len(self.titles) + 1)
        if scale == "own":
            # Each map has limits of its own, so the bar cannot have numbers.
            ends_of_bar = ("min", "max")
            sheet.bar(
                right,
                y,
                side,
                limits=(0.0, 1.0),
                label=self.quantity,
                names=ends_of_bar,
            )
        elif scale == "common":
            sheet.bar(
                right, y, side, limits=self._limits(scale), label="÷ the map's mean"
            )
        else:
            sheet.bar(right, y, side, limits=self._limits(scale), label=self.quantity)

    def _x(self, column: int) -> float:
        return _LEFT + column * (self.cell + _GAP)

    def _limits(self, scale: ColourScale) -> tuple[float, float]:
        """What the colours of all maps run over, on a scale that they share."""
        if scale == "common":
            return limits_of([relative(values) for values in self.everything])
        return limits_of(self.everything)


def _below(scale: ColourScale) -> float:
    return _BELOW_OWN if scale == "own" else _BELOW


def ends(low: float, high: float) -> tuple[str, str]:
    """Two numbers with as many digits as tell them apart, at least three."""
    for digits in range(3, 7):
        first, last = f"{low:.{digits}g}", f"{high:.{digits}g}"
        if first != last:
            break
    return first, last


def span(low: float, high: float) -> str:
    """From one number to another, as it is written below a map."""
    return "–".join(ends(low, high))


_LABELS = {"own": "own scales", "common": "common scale", "values": "as it is"}
