"""The paper's pictures: the right words are marked, and axes have names and units."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sencap.errors import MissingDependencyError, SettingsError, ShapeError
from sencap.figures import (
    BY_BEAM,
    BY_DEPTH,
    BY_DIMENSION,
    ComparedPair,
    MapRow,
    Sweep,
    SweepPoint,
    attention_by_initialisation,
    attention_by_stage,
    marked_words,
    side_by_side,
    sweep_plots,
)
from sencap.figures.maps import is_before, limits_of, part_title, relative, span
from sencap.figures.pages import map_uri
from sencap.figures.sheet import TEXT, TWO_COLUMNS, text_width, wrap
from sencap.structures import ImagePair

PAIR = ImagePair(
    np.random.default_rng(0).integers(0, 256, (2, 3, 32, 48), dtype=np.uint8)
)
MAPS = {"sfe_bef": np.arange(6.0).reshape(2, 3), "cagd_aft": np.full((2, 3), 7.0)}


def _texts(path: Path) -> str:
    """An SVG's text; matplotlib notes each text beside its outlines."""
    return path.read_text(encoding="utf-8")


# Fig. 3


@pytest.mark.parametrize(
    ("caption", "references", "marked"),
    [
        ("a house appears", ["a house is built"], ["appears"]),
        ("A house, appears.", ["a HOUSE appears !"], []),
        ("houses appear", ["a house appears"], ["houses", "appear"]),
        ("two roads", ["two houses", "many roads"], []),
        ("two roads", [], ["two", "roads"]),
        ("", ["a house"], []),
    ],
)
def test_words_that_no_reference_has_are_marked(
    caption: str, references: list[str], marked: list[str]
) -> None:
    found = marked_words(caption, references)
    assert [word for word, _ in found] == caption.split()
    assert [word for word, new in found if new] == marked


def test_captions_side_by_side_as_a_page(tmp_path: Path) -> None:
    pairs = [
        ComparedPair(
            PAIR, ["a house & a road"], {"SEN": "a <b> house", "other": ""}, "one"
        )
    ]
    text = side_by_side(pairs, tmp_path / "fig3.html", title="Fig. 3").read_text(
        encoding="utf-8"
    )
    (said, *_) = re.findall(r"<dd>(.*?)</dd>", text, re.DOTALL)
    assert said.split("\n") == [
        "",
        "a",
        '<mark title="in no reference">&lt;b&gt;</mark>',
        "house",
        "",
    ]
    assert "(empty caption)" in text
    assert "a house &amp; a road" in text
    assert "http" not in text
    assert text.count('src="data:image/png;base64,') == 2
    (style,) = re.findall(r"\nmark \{(.*?)\}", text, re.DOTALL)
    assert "text-decoration: underline" in style, "not by colour alone"


def test_captions_side_by_side_as_a_picture(tmp_path: Path) -> None:
    long = "many $houses$ " + "and villas " * 30
    pairs = [
        ComparedPair(PAIR, ["a house"] * 5, {"SEN": long, "other": ""})
        for _ in range(2)
    ]
    text = _texts(side_by_side(pairs, tmp_path / "fig3.svg"))
    for said in (
        "before",
        "References",
        "SEN",
        "other",
        "(empty caption)",
        "$houses$",
        "villas",
    ):
        assert f"<!-- {said} -->" in text
    assert text.lower().count("#d55e00") >= 2 * 62, "each marked word and its underline"


# Fig. 4 and 5


def test_maps_by_stage_have_titles_scales_and_their_values(tmp_path: Path) -> None:
    text = _texts(attention_by_stage([MapRow(PAIR, MAPS)] * 2, tmp_path / "fig5.svg"))
    for said in (
        "SFE, before",
        "CAGD, after",
        "own scales",
        "common scale",
        "0–5",
        "7–7",
        "÷ the map's mean",
    ):
        assert f"<!-- {said} -->" in text


def test_maps_by_initialisation_in_one_scale_of_values(tmp_path: Path) -> None:
    rows = [MapRow(PAIR, {"Random": MAPS["sfe_bef"], "SSL4EO 6C": MAPS["cagd_aft"]})]
    path = attention_by_initialisation(
        rows, tmp_path / "fig4.svg", scales=["values"], quantity="activation"
    )
    for said in ("Random", "SSL4EO 6C", "activation", "after", "as it is"):
        assert f"<!-- {said} -->" in _texts(path)
    every = attention_by_initialisation(
        rows, tmp_path / "all.png", scales=["own", "common", "values"]
    )
    with Image.open(every) as picture:
        assert picture.format == "PNG"


def test_the_common_scale_shows_a_flat_map_flat() -> None:
    assert (relative(np.full((2, 2), 0.78)) == 1).all()
    assert (relative(np.zeros((2, 2))) == 0).all()
    assert limits_of([relative(m) for m in MAPS.values()]) == (0.0, 2.0)
    low, high = limits_of([np.ones((2, 2))])
    assert high > low


def test_small_parts_of_the_pictures() -> None:
    assert part_title("sfe_bef") == "SFE, before"
    assert part_title("attention_aft") == "attention, after"
    assert part_title("memory") == "memory"
    assert is_before("difference.layers.0.cross.bef.attention")
    assert is_before("both, before")
    assert not is_before("cagd_aft")
    assert span(0.78301, 0.78499) == "0.783–0.785"
    assert span(0.78301, 0.78302) == "0.78301–0.78302"
    assert TEXT >= 8
    lines = wrap("one two three four", text_width("one two"))
    assert lines == ["one two", "three", "four"]


def test_a_map_becomes_viridis_one_pixel_per_cell() -> None:
    uri = map_uri(np.array([[0.0, 1.0, 0.5]]), (0.0, 1.0))
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as picture:
        assert picture.size == (3, 1)
        assert [picture.getpixel((x, 0)) for x in range(3)] == [
            (68, 1, 84),
            (253, 231, 37),
            (33, 145, 140),
        ]


@pytest.mark.parametrize(
    "values",
    [np.zeros(4), np.array([[-1.0]]), np.array([[np.nan]]), np.array([[np.inf]])],
)
def test_what_is_no_map_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="map 'x' must be"):
        MapRow(PAIR, {"x": values})


# Fig. 6


def test_sweeps_name_their_axes_with_units(tmp_path: Path) -> None:
    width = [
        SweepPoint(256, [76.0, 77.0], 30_000_000),
        SweepPoint(512, [78.0, 78.5], 39_858_900),
    ]
    beam = [
        SweepPoint(1, [77.0], speeds=[30.0]),
        SweepPoint(3, [78.0], speeds=[23.0, 24.4]),
    ]
    depth = [SweepPoint("18", [77.0], 27_000_000, [30.0]), SweepPoint("50", [78.0])]
    sweeps = [Sweep(BY_DIMENSION, width), Sweep(BY_BEAM, beam), Sweep(BY_DEPTH, depth)]
    text = _texts(sweep_plots(sweeps, tmp_path / "fig6.svg", note="one GPU"))
    for said in (
        BY_DIMENSION, BY_BEAM, BY_DEPTH, "$S^*_m$ (× 100)", "(millions)", "(pairs/s)", "39.9",
        "mean ± standard deviation of 1 to 2 seeds; one GPU", "(a)", "(c)",
    ):  # fmt: skip
        assert said in text
    with Image.open(
        sweep_plots([Sweep(BY_DIMENSION, width)], tmp_path / "one.png")
    ) as picture:
        assert picture.width < 0.6 * TWO_COLUMNS * 200
    text = _texts(
        sweep_plots([Sweep(BY_BEAM, [SweepPoint(1, [70.0])])], tmp_path / "least.svg")
    )
    assert "<!-- 1 seed -->" in text
    assert "(millions)" not in text


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no points"):
        Sweep(BY_BEAM, [])
    with pytest.raises(SettingsError, match="no score at 3"):
        Sweep(BY_BEAM, [SweepPoint(3, [])])
    with pytest.raises(SettingsError, match="at least one sweep"):
        sweep_plots([], tmp_path / "a.png")
    with pytest.raises(SettingsError, match="at least one pair"):
        side_by_side([], tmp_path / "a.png")
    for rows in ([], [MapRow(PAIR, {})]):
        with pytest.raises(SettingsError, match="at least one map"):
            attention_by_stage(rows, tmp_path / "a.png")
    with pytest.raises(SettingsError, match="different maps"):
        attention_by_stage(
            [MapRow(PAIR, MAPS), MapRow(PAIR, {"x": np.ones((2, 2))})],
            tmp_path / "a.png",
        )
    with pytest.raises(SettingsError, match="did you mean 'common'"):
        attention_by_stage([MapRow(PAIR, MAPS)], tmp_path / "a.png", scales=["comon"])  # type: ignore[list-item]
    assert not list(tmp_path.iterdir())


def test_paths_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = [Sweep(BY_BEAM, [SweepPoint(1, [70.0])])]
    with pytest.raises(SettingsError, match=r"must end in one of .png, .pdf, .svg:"):
        sweep_plots(sweeps, tmp_path / "a.html")
    with pytest.raises(SettingsError, match="make it first"):
        sweep_plots(sweeps, tmp_path / "no" / "a.png")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"sencap\[figures\]"):
        sweep_plots(sweeps, tmp_path / "a.png")
