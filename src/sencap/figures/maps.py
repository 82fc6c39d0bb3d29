"""Maps on the pixels: by initialisation (Fig. 4), by stage (Fig. 5), each on its own scale and on a
common one.

**own**: each map's colours run from its least to its greatest value, which stand below it. Shows
  where within a
map, and nothing about how much: a flat map, stretched, looks like a sharp one.
**common**: each map is divided by its mean, and all maps of the figure share one scale from the
  least to the
greatest quotient. 1 is a cell like the others. Networks and stages whose values differ in size can
be compared.
**values**: the values as they are, all on one scale. For maps of one kind only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sencap.errors import SettingsError, ShapeError, nearest
from sencap.figures.files import DRAWN, check_path
from sencap.figures.sheet import LINE, PALE, TWO_COLUMNS, Map, Sheet, ratio, wrap
from sencap.structures import ImagePair

Scale = Literal["own", "common", "values"]
QUANTITY = "mean |activation|"
_LEFT, _RIGHT, _GAP = 0.22, 0.62, 0.06  # inches: row labels, colour bars, between cells
_CELL = 1.25  # inches: the widest cell
_STAGES = {"sfe": "SFE", "cagd": "CAGD"}
_DATES = {"bef": "before", "aft": "after"}


@dataclass(frozen=True)
class MapRow:
    """One pair and its maps (h, w) by name, not negative, in the order they are drawn.

    A map with ``bef`` or ``before`` in its name is laid over the image before, others over the
    image after.

    Raises:
        ShapeError: a map that is not (h, w), or has negative or not finite values.
    """

    pair: ImagePair
    maps: Mapping[str, Map]

    def __post_init__(self) -> None:
        for name, values in self.maps.items():
            if values.ndim != 2 or not (values >= 0).all() or not (values < float("inf")).all():
                raise ShapeError(
                    f"map {name!r} must be (h, w), finite and not negative; got {values.shape}"
                )


def attention_by_initialisation(
    rows: Sequence[MapRow],
    path: str | Path,
    *,
    scales: Sequence[Scale] = ("own", "common"),
    quantity: str = QUANTITY,
) -> Path:
    """Fig. 4: for each pair the map of each initialisation, on its own scale and on the common one.

    rows: the pairs; the names of their maps are the initialisations', the same in each row. path: a
    .png, .pdf or .svg file. Returns the path.

    Raises:
        SettingsError: no rows or no maps, rows with different maps, an unknown scale, a path that
            cannot be.
        MissingDependencyError: matplotlib is not installed.
    """
    return _table(rows, path, scales, quantity, {name: name for name in _columns(rows)})


def attention_by_stage(
    rows: Sequence[MapRow],
    path: str | Path,
    *,
    scales: Sequence[Scale] = ("own", "common"),
    quantity: str = QUANTITY,
) -> Path:
    """Fig. 5: for each pair the maps after SFE and after CAGD, or of whatever parts a system has.

    rows: the pairs with their maps by part, as `sencap.explain.Explanation.parts` names them:
    ``sfe_bef`` becomes "SFE, before". Else as `attention_by_initialisation`.
    """
    return _table(rows, path, scales, quantity, {name: part_title(name) for name in _columns(rows)})


def part_title(name: str) -> str:
    """What a part of a memory is called in a picture: ``cagd_aft`` → "CAGD, after"."""
    stem, _, date = name.rpartition("_")
    if date not in _DATES:
        return name.replace("_", " ")
    return f"{_STAGES.get(stem, stem.replace('_', ' '))}, {_DATES[date]}"


def relative(values: Map) -> Map:
    """A map divided by its mean: 1 is a cell like the others. A map of zeros stays."""
    mean = float(values.mean())
    return values / mean if mean > 0 else values


def limits_of(maps: Sequence[Map]) -> tuple[float, float]:
    """The least and the greatest value of several maps, a little apart where they are equal."""
    low, high = min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)
    return (low, high) if high > low else (low, low + 1e-6)


def is_before(name: str) -> bool:
    """Whether a map belongs over the image before: a word of its name is ``bef`` or ``before``."""
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
                f"the pairs have different maps, {names} and {list(row.maps)}; give all the "
                "same, in one order"
            )
    return names


def _table(
    rows: Sequence[MapRow],
    path: str | Path,
    scales: Sequence[Scale],
    quantity: str,
    titles: Mapping[str, str],
) -> Path:
    path = check_path(path, endings=DRAWN)
    cell = cell_width(len(titles))
    head = head_height(titles.values(), cell)
    height = 0.05 + sum(head + block_height(row.pair, cell, scales) for row in rows)
    sheet = Sheet(_LEFT + (len(titles) + 1) * (cell + _GAP) + _RIGHT, height)
    everything = [values for row in rows for values in row.maps.values()]
    y = 0.05
    for row in rows:
        y = draw_block(sheet, y, row, titles, everything, scales=scales, quantity=quantity)
    return sheet.save(path)


def cell_width(maps: int) -> float:
    """The width of a cell in a table of so many maps per row, beside one image."""
    return min(_CELL, (TWO_COLUMNS - _LEFT - _RIGHT) / (maps + 1) - _GAP)


def head_height(titles: Iterable[str], cell: float) -> float:
    """The height of the titles above the cells, wrapped."""
    return LINE * max(len(wrap(title, cell)) for title in [*titles, "before"]) + 0.04


def block_height(pair: ImagePair, cell: float, scales: Sequence[Scale]) -> float:
    """The height of one pair's rows below their head."""
    side = cell * ratio(pair.images[0])
    under = sum(LINE + 0.06 if scale == "own" else 0.1 for scale in scales)
    return len(scales) * side + under + 0.12 + (LINE if len(scales) > 1 else 0)


def draw_block(
    sheet: Sheet,
    y: float,
    row: MapRow,
    titles: Mapping[str, str],
    everything: Sequence[Map],
    *,
    scales: Sequence[Scale],
    quantity: str,
) -> float:
    """One pair: a row of maps for each scale, the images at its left; returns where the next thing
    may begin.

    ``everything`` is what the common scale spans.
    """
    for scale in scales:
        if scale not in get_args(Scale):
            raise SettingsError(f"scale={scale!r} is unknown; {nearest(scale, get_args(Scale))}")
    cell = cell_width(len(titles))
    head = head_height(titles.values(), cell)
    for column, title in enumerate(["before" if len(scales) > 1 else "after", *titles.values()]):
        lines = wrap(title, cell)
        x = _LEFT + column * (cell + _GAP) + cell / 2
        for number, line in enumerate(lines):
            sheet.text(x, y + head - 0.04 - (len(lines) - number) * LINE, line, ha="center")
    y += head
    side = cell * ratio(row.pair.images[0])
    spans = {
        "common": limits_of([relative(values) for values in everything]),
        "values": limits_of(everything),
    }
    for number, scale in enumerate(scales):
        if number == 1:
            sheet.text(_LEFT + cell / 2, y, "after", ha="center")
            y += LINE
        if number < 2:
            date = number if len(scales) > 1 else 1
            sheet.image(_LEFT, y, cell, row.pair.images[date])
        sheet.text(
            _LEFT - 0.06,
            y + side / 2,
            _LABELS[scale],
            rotation=90,
            ha="right",
            va="center",
            color=PALE,
        )
        for column, (name, values) in enumerate(row.maps.items(), 1):
            x = _LEFT + column * (cell + _GAP)
            shown = relative(values) if scale == "common" else values
            limits = limits_of([values]) if scale == "own" else spans[scale]
            sheet.map(
                x,
                y,
                cell,
                row.pair.images[0 if is_before(name) else 1],
                values=shown,
                limits=limits,
            )
            if scale == "own":
                low, high = float(values.min()), float(values.max())
                sheet.text(x + cell / 2, y + side + 0.02, span(low, high), ha="center", color=PALE)
        right = _LEFT + (len(titles) + 1) * (cell + _GAP)
        if scale == "own":
            sheet.bar(right, y, side, limits=(0.0, 1.0), label=quantity, names=("min", "max"))
            y += side + LINE + 0.06
        else:
            label = "÷ the map's mean" if scale == "common" else quantity
            sheet.bar(right, y, side, limits=spans[scale], label=label)
            y += side + 0.1
    return y + 0.12


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
