"""Whatever pairs, files and places are called, no verb stops at it, writes outside of
where it was told to, or loses one of two equal names."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from sencap.cli import main
from sencap.places import PackedPlaces

CELLS = [  # what a table's cell may hold
    "../evil", "/abs/evil", "a/b", "..", ".hidden", "-rf", "line\nbreak", "tab\there", "x" * 300,
    "北京", "con", "", " ", "a", "A", "a", "a-2", "<b>&amp;</b>", '"quoted"', "a;b,c", "é",
    "e\u0301",
]  # fmt: skip
STEMS = [  # what a file may be called
    "-rf", "--json", "line\nbreak", "tab\there", "x" * 240, "ä" * 120, "北京", "con", "a", "A",
    "a;b,c", "<b>&amp;", '"', "'", "%s", "{x}", "\\", "$HOME", "*", "?", "#", "\udcff",
    "\x1b[31m",
]  # fmt: skip
cells = st.text(
    st.characters(exclude_categories=["Cs"]), max_size=12
) | st.sampled_from(CELLS)


def _is_stem(stem: str) -> bool:
    """Whether a file system takes the name, and none passes it over as hidden."""
    try:
        hidden = stem.startswith(".") or "/" in stem or "\0" in stem
        return not hidden and len(os.fsencode(stem)) < 240
    except UnicodeEncodeError:
        return False


stems = st.text(min_size=1, max_size=12).filter(_is_stem) | st.sampled_from(STEMS)
few = settings(
    deadline=None,
    max_examples=4,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def here(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; the weights lie beside it."""
    folder = tmp_path / "deep" / "here"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def anew(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def write_image(path: Path, grey: int = 9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    level = np.full((40, 40, 3), grey, np.uint8)
    level[:20] //= 2
    Image.fromarray(level).save(path)


def files_below(folder: Path) -> set[Path]:
    return {Path(where) / name for where, _, names in os.walk(folder) for name in names}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a verb prints; it must end well."""
    code = main(words)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "Traceback" not in printed.err
    return printed.out


def check_captioned(
    here: Path,
    source: str,
    weights: Path,
    count: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each pair has a line and a picture of its own, and all that is new lies in the
    folder of pictures."""
    before = files_below(here.parents[1])
    asked = ["caption", source, "--weights", str(weights), "--picture", "pictures"]
    told = run(capsys, *asked)
    assert len(told.split("\n")) == count + 1
    assert all(line.count("\t") == 1 for line in told.split("\n")[:-1])
    new = files_below(here.parents[1]) - before
    assert {path.parent for path in new} == {here / "pictures"}
    assert len(new) == count
    found = [json.loads(line) for line in run(capsys, *asked, "--json").splitlines()]
    assert len({entry["picture"] for entry in found}) == count


@few
@given(st.lists(cells, min_size=1, max_size=4))
@example(CELLS)
def test_caption_and_the_names_of_a_table(
    here: Path, weights: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    anew(here)
    write_image(here / "a.png")
    write_image(here / "b.png", 90)
    with (here / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["before", "after", "name"])
        table.writerows(["a.png", "b.png", name] for name in names)
    check_captioned(here, "pairs.csv", weights, len(names), capsys)


@few
@given(st.lists(stems, min_size=1, max_size=4, unique=True))
@example(STEMS)
def test_caption_and_the_names_of_files(
    here: Path, weights: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    anew(here)
    for name in names:
        write_image(here / "pairs" / "A" / f"{name}.png")
        write_image(here / "pairs" / "B" / f"{name}.png", 90)
    check_captioned(here, "pairs", weights, len(set(names)), capsys)


@few
@given(stems)
@example("-rf")
@example("line\nbreak")
def test_explain_and_the_names_of_files(
    here: Path, weights: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    anew(here)
    for folder, grey in (("A", 9), ("B", 90)):
        write_image(here / folder / f"{name}.png", grey)
    before = files_below(here.parents[1])
    asked = ["explain", f"A/{name}.png", f"B/{name}.png", "--weights", str(weights)]
    run(capsys, *asked, "-o", "why.html")
    assert files_below(here.parents[1]) - before == {here / "why.html"}
    (here / "why.html").read_text(encoding="utf-8")


def write_data(folder: Path, names: Sequence[str]) -> None:
    """A data set of LEVIR-CC's layout with a pair of each name."""
    entries = []
    for number, name in enumerate(names):
        for date, grey in (("A", 9), ("B", 90)):
            write_image(folder / "images" / "test" / date / f"{name}.png", grey)
        sentence = {"tokens": ["a", "house", "appears"], "raw": "a house appears"}
        entries.append(
            {
                "filepath": "test",
                "filename": f"{name}.png",
                "imgid": number,
                "split": "test",
                "changeflag": 1,
                "sentences": [sentence] * 5,
            }
        )
    text = json.dumps({"images": entries})
    (folder / "LevirCCcaptions.json").write_text(text, encoding="utf-8")


def _is_plain(stem: str) -> bool:
    """Whether a data set may have it: other names are refused with their entry."""
    return stem.isprintable() and not set("\\:") & set(stem)


@few
@given(st.lists(stems.filter(_is_plain), min_size=1, max_size=3, unique=True))
@example([stem for stem in STEMS if _is_plain(stem)])
def test_evaluate_and_the_names_of_a_data_set(
    here: Path, weights: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    anew(here)
    write_data(here / "data", names)
    before = files_below(here.parents[1])
    outputs = {"--json": "r.json", "--markdown": "r.md", "--page": "r.html"}
    flags = [word for pair in outputs.items() for word in pair]
    run(capsys, "evaluate", "--data", "data", "--weights", str(weights), *flags)
    assert files_below(here.parents[1]) - before == {
        here / name for name in outputs.values()
    }
    report = json.loads((here / "r.json").read_text(encoding="utf-8"))
    assert [pair["filename"] for pair in report["pairs"]] == [
        f"{name}.png" for name in names
    ]


@few
@given(st.lists(stems, min_size=1, max_size=3, unique=True))
@example(STEMS)
def test_pack_and_the_names_of_places(
    here: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    anew(here)
    for name in names:
        for month in (1, 2):
            write_image(here / "places" / name / f"2020-{month:02d}-01.png", 9 * month)
    before = files_below(here.parents[1])
    run(capsys, "pack", "places", "packed", "--size", "32", "--workers", "1")
    new = files_below(here.parents[1]) - before
    assert {path.parent for path in new} == {here / "packed"}
    packed = PackedPlaces(here / "packed")
    told = [name.encode("utf-8", "backslashreplace").decode() for name in names]
    assert sorted(packed.name(number) for number in range(len(packed))) == sorted(told)


def test_import_and_the_names_of_a_table(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With more names in tests/data/test_importing.py."""
    write_image(here / "a.png")
    write_image(here / "b.png", 90)
    write_image(here / "other.png", 90)
    with (here / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["before", "after", "caption", "name"])
        for number, name in enumerate(CELLS):
            write_image(here / f"{number}.png", 90 + number)
            table.writerow(["a.png", f"{number}.png", "a house appears", name])
    before = files_below(here.parents[1])
    run(capsys, "import", "pairs.csv", "out", "--val", "0", "--test", "0", "--quiet")
    new = files_below(here.parents[1]) - before
    assert all(path.is_relative_to(here / "out") for path in new)
    assert len(new) == 2 * len(CELLS) + 1


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_names_beyond_the_letters_of_the_output_stop_nothing(
    here: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    write_image(here / "pairs" / "A" / "北京.png")
    write_image(here / "pairs" / "B" / "北京.png", 90)
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    assert main(["caption", "pairs", "--weights", str(weights)]) == 0
    assert content.getvalue().startswith(rb"\u5317\u4eac" + b"\t")
