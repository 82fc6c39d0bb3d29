"""Where things stand on the drawn pictures, on which scale, and which number is which:
what would make a picture wrong although it looks right."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sencap.figures import (
    BY_BEAM,
    BY_DIMENSION,
    ComparedPair,
    MapRow,
    Sweep,
    SweepPoint,
    attention_by_stage,
    captions,
    maps,
    side_by_side,
    sweep_plots,
    sweeps,
    words,
)
from sencap.figures.pair import draw_pair
from sencap.figures.sheet import DPI, LINE, TWO_COLUMNS, Map, Sheet
from sencap.figures.watch import plot_watch
from sencap.figures.words import draw_words
from sencap.structures import ImagePair

BLACK_THEN_WHITE = ImagePair(
    np.stack([np.zeros((3, 32, 48)), np.full((3, 32, 48), 255)]).astype("u1")
)
PARTS = {"sfe_bef": np.array([[1.0, 3.0]]), "sfe_aft": np.array([[10.0, 30.0]])}


@dataclass
class Drawn:
    """What was drawn on a sheet: places in inches from its upper left corner."""

    size: tuple[float, float] = (0, 0)
    texts: list[tuple[float, float, str]] = field(default_factory=list)
    images: list[tuple[float, float, float]] = field(default_factory=list)
    maps: list[tuple[float, float, float]] = field(default_factory=list)
    # The brightness of the image there.
    below_maps: list[int] = field(default_factory=list)
    values: list[Map] = field(default_factory=list)
    limits: list[tuple[float, float]] = field(default_factory=list)
    bars: list[tuple[float, float]] = field(default_factory=list)

    def place(self, text: str) -> tuple[float, float]:
        ((x, y),) = [(x, y) for x, y, said in self.texts if said == text]
        return x, y


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Everything that is drawn on the next sheet."""
    found = Drawn()

    class Listening(Sheet):
        def __init__(self, width: float, height: float) -> None:
            found.size = (width, height)
            super().__init__(width, height)

        def text(self, x: float, y: float, text: str, **style: Any) -> None:
            found.texts.append((x, y, text))
            super().text(x, y, text, **style)

        def image(self, x: float, y: float, width: float, image: Any) -> float:
            height = super().image(x, y, width, image)
            found.images.append((x, y, height))
            return height

        def map(
            self, x: float, y: float, width: float, image: Any, **drawing: Any
        ) -> float:
            found.maps.append((x, y, width))
            found.below_maps.append(int(image.mean()))
            found.values.append(drawing["values"])
            found.limits.append(drawing["limits"])
            return super().map(x, y, width, image, **drawing)

        def bar(self, x: float, y: float, height: float, **drawing: Any) -> None:
            found.bars.append(drawing["limits"])
            super().bar(x, y, height, **drawing)

    for module in (maps, words, captions):
        monkeypatch.setattr(module, "Sheet", Listening)
    return found


def test_each_scale_shows_the_values_it_says(drawn: Drawn, tmp_path: Path) -> None:
    row = MapRow(BLACK_THEN_WHITE, PARTS)
    attention_by_stage([row], tmp_path / "a.svg", scales=["values", "own", "common"])
    assert [values.tolist() for values in drawn.values] == [
        [[1, 3]], [[10, 30]], [[1, 3]], [[10, 30]], [[0.5, 1.5]], [[0.5, 1.5]],
    ]  # fmt: skip
    assert drawn.limits == [(1, 30), (1, 30), (1, 3), (10, 30), (0.5, 1.5), (0.5, 1.5)]
    assert drawn.bars == [(1, 30), (0, 1), (0.5, 1.5)], (
        "a bar's ends are its maps' limits"
    )


def test_the_common_scale_spans_all_pairs(drawn: Drawn, tmp_path: Path) -> None:
    flat = {name: np.ones((1, 2)) for name in PARTS}
    rows = [MapRow(BLACK_THEN_WHITE, flat), MapRow(BLACK_THEN_WHITE, PARTS)]
    attention_by_stage(rows, tmp_path / "a.svg", scales=["common"])
    assert set(drawn.limits) == {(0.5, 1.5)}


def test_maps_stand_below_their_titles_over_the_image_of_their_date(
    drawn: Drawn, tmp_path: Path
) -> None:
    attention_by_stage(
        [MapRow(BLACK_THEN_WHITE, PARTS)], tmp_path / "a.svg", scales=["own"]
    )
    assert drawn.below_maps == [0, 255]
    for (x, y, width), title in zip(
        drawn.maps, ("SFE, before", "SFE, after"), strict=True
    ):
        place = drawn.place(title)
        assert place[0] == pytest.approx(x + width / 2)
        assert place[1] < y
    (first, _, width), (second, _, _) = drawn.maps
    assert second >= first + width


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_table_of_maps_fits_its_columns_and_its_sheet(
    count: int, drawn: Drawn, tmp_path: Path
) -> None:
    row = MapRow(BLACK_THEN_WHITE, {f"part {n}": np.ones((2, 3)) for n in range(count)})
    path = attention_by_stage([row] * 2, tmp_path / "a.png")
    width, height = drawn.size
    assert width <= TWO_COLUMNS + 1e-9
    with Image.open(path) as picture:
        assert picture.size == pytest.approx((width * DPI, height * DPI), abs=1)
    assert max(x + side for x, _, side in drawn.maps) <= width
    assert max(y + side * 32 / 48 for _, y, side in drawn.maps) <= height
    assert max(y for _, y, _ in drawn.texts) + LINE <= height


def test_a_cell_is_coloured_where_it_lies(tmp_path: Path) -> None:
    """Row 0 is at the top and column 0 at the left; viridis runs from violet to
    yellow."""
    sheet = Sheet(2, 1)
    image = np.full((3, 20, 40), 255, np.uint8)
    sheet.map(0, 0, 2, image, values=np.array([[0.0, 1.0], [0.0, 0.0]]), limits=(0, 1))
    with Image.open(sheet.save(tmp_path / "a.png")) as picture:
        colours = np.asarray(picture.convert("RGB")).astype(int)
    least, most = colours[150, 100], colours[50, 300]  # the middle of a cell
    assert most[1] > 200 > most[2], "yellow"
    assert least[2] > least[1], "violet"
    for y, x in ((50, 100), (150, 300)):
        assert (colours[y, x] == least).all()


def test_words_stand_in_reading_order_each_above_its_map(
    drawn: Drawn, tmp_path: Path
) -> None:
    said = [f"word{number}" for number in range(8)]
    word_maps = [np.full((2, 3), 1 / 6) for _ in said]
    word_maps[3] = np.array([[0.5, 0.1, 0.1], [0.1, 0.1, 0.1]])
    draw_words(
        BLACK_THEN_WHITE, " ".join(said), tmp_path / "a.svg",
        words=said, word_maps=word_maps, parts=PARTS,
    )  # fmt: skip
    places = [drawn.place(word) for word in said]
    assert places == sorted(places, key=lambda place: (place[1], place[0]))
    assert places[6][0] == places[0][0], "six to a row"
    for (x, y), (left, top, width) in zip(places, drawn.maps[:8], strict=True):
        assert x == pytest.approx(left + width / 2)
        assert top == pytest.approx(y + LINE)
    assert drawn.values[3].max() == pytest.approx(3), "times an even share"
    assert len(set(drawn.limits[:8])) == 1, "one scale for the whole sentence"
    assert drawn.limits[0] == pytest.approx((0, 3))
    assert drawn.below_maps[:8] == [255] * 8, "over the image after"
    assert max(y for _, y, _ in drawn.texts) + LINE <= drawn.size[1]


def test_the_shares_of_the_dates_stand_under_their_word(
    drawn: Drawn, tmp_path: Path
) -> None:
    dates = np.array([[0.11, 0.22, 0.67], [0.33, 0.44, 0.23]])
    draw_words(
        BLACK_THEN_WHITE, "a road", tmp_path / "a.svg",
        words=["a", "road"], word_maps=None, parts={}, dates=dates,
    )  # fmt: skip
    for word, shares in zip(("a", "road"), dates, strict=True):
        x, y = drawn.place(word)
        heights = [y]
        for share, date in zip(shares, ("before", "difference", "after"), strict=True):
            place = drawn.place(f"{share:.2f}")
            assert place[0] == pytest.approx(x)
            assert place[1] in [at for _, at, said in drawn.texts if said == date]
            heights.append(place[1])
        assert heights == sorted(heights)


def test_references_and_captions_stand_beside_their_pair_in_the_order_given(
    drawn: Drawn, tmp_path: Path
) -> None:
    tall = ["one reference"] * 12
    pairs = [
        ComparedPair(BLACK_THEN_WHITE, tall, {"SEN": "alpha", "other": "beta"}),
        ComparedPair(BLACK_THEN_WHITE, ["x"], {"SEN": "gamma", "other": "delta"}),
    ]
    side_by_side(pairs, tmp_path / "a.svg")
    heights = [drawn.place(word)[1] for word in ("alpha", "beta", "gamma", "delta")]
    assert heights == sorted(heights)
    systems = [y for _, y, said in drawn.texts if said in ("SEN", "other")]
    assert systems == heights, "a name is level with its caption"
    second = drawn.images[2][1]
    assert heights[1] < second <= heights[2], (
        "the second pair begins below all of the first"
    )
    lowest = max(y for _, y, _ in drawn.texts)
    assert lowest + LINE <= drawn.size[1]
    assert drawn.size[0] == TWO_COLUMNS


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that `sweep_plots` would have saved."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path) -> Path:
        figures.append(figure)
        return path

    monkeypatch.setattr(sweeps, "save_figure", keep)
    return figures


def _points(line: Any) -> list[list[float]]:
    """What a line of matplotlib goes through."""
    return np.asarray(line.get_xydata()).tolist()  # type: ignore[no-any-return]


def test_sweeps_show_means_spreads_and_costs_at_their_settings(
    plotted: list[Figure],
) -> None:
    points = [
        SweepPoint(256, [70.0, 74.0], 30_000_000, [9.0, 11.0]),
        SweepPoint(512, [78.0], 40_000_000),
        SweepPoint(1024, [77.0, 79.0], None, [4.0]),
    ]
    sweep_plots([Sweep(BY_DIMENSION, points), Sweep(BY_BEAM, points[:1])], "a.png")
    top, parameters, speed = plotted[0].axes[:3]
    bars_of_cost: Any = parameters.patches
    curve: Any = speed.containers[0]

    errorbar: Any = top.containers[0]
    line, _, (bars,) = errorbar
    assert _points(line) == [[0, 72], [1, 78], [2, 78]]
    spread = [(low[1], high[1]) for low, high in bars.get_segments()]
    root = 8**0.5  # the sample's standard deviation of 70 and 74
    assert spread[0] == pytest.approx((72 - root, 72 + root))
    assert spread[1] == (78, 78), "none of a single seed"
    seeds = [_points(dots) for dots in top.lines if dots.get_marker() == "."]
    assert [[y for _, y in dots] for dots in seeds] == [[70, 74], [77, 79]]

    heights = {
        bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in bars_of_cost
    }
    assert heights == {0: 30, 1: 40}
    assert [text.get_text() for text in parameters.texts] == ["30", "40"]
    assert _points(curve[0]) == [[0, 10], [2, 4]]
    assert [label.get_text() for label in speed.get_xticklabels()] == [
        "256",
        "512",
        "1024",
    ]
    assert top.get_shared_x_axes().joined(top, speed)
    second = plotted[0].axes[3]
    assert top.get_ylim() == second.get_ylim(), "columns have one score axis"


def test_watching_figures_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    names = ("recall", "spread", "recall_embedding", "spread_embedding")
    start: dict[str, float] = {
        "epoch": 0,
        **{name: 0.1 * n for n, name in enumerate(names)},
    }
    later = {**start, "epoch": 3, "loss": 2.5, "recall": 0.9}
    random = dict.fromkeys(names, 0.5)
    plot_watch(
        tmp_path / "a.png",
        [start, {"epoch": 1, "loss": 3.0}, later],
        random,
        chance=0.02,
    )
    losses, recalls, _ = figures[0].axes
    assert _points(losses.lines[0]) == [[1, 3.0], [3, 2.5]]
    by_name = {line.get_label(): line for line in recalls.lines}
    assert _points(by_name["backbone's features"]) == [[0, 0], [3, 0.9]]
    assert _points(by_name["embeddings"]) == [[0, 0.2], [3, 0.2]]
    assert [y for _, y in _points(by_name["chance 0.02"])] == [0.02, 0.02]
    legend = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert legend == list(by_name)


@pytest.mark.parametrize(("side", "shown"), [(64, 384), (500, 500), (3000, 1024)])
def test_a_pair_s_picture_has_before_at_the_left_in_a_size_that_fits_a_screen(
    side: int, shown: int
) -> None:
    pair = ImagePair(
        np.stack([np.zeros((3, side, side)), np.full((3, side, side), 128)]).astype(
            "u1"
        )
    )
    picture = draw_pair(pair, "a road is built")
    wide, more = draw_pair(pair, "word " * 200).size
    assert picture.width == 2 * shown + 12 + 2 * 16
    assert wide == picture.width
    assert more > picture.height, "a longer text takes more lines"
    middle = 16 + shown // 2
    assert picture.getpixel((middle, middle + 21)) == (0, 0, 0)
    assert picture.getpixel((picture.width - middle, middle + 21)) == (128, 128, 128)
