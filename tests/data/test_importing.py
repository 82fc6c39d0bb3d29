"""Import: tables, COCO-style JSON and Hugging Face folders become data sets that check
passes, or are told why not."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import sencap
from sencap.cli import main
from sencap.data.check import check_dataset
from sencap.data.entries import CaptionedPair
from sencap.data.importing import import_dataset
from sencap.data.importing.records import find_columns, image_side, split_of
from sencap.data.levir_cc import read_dataset
from sencap.errors import DataError, OutputError, SettingsError

CAPTIONS = ("A road, is built.", "two houses appear")
WORDS = (("a", "road", "is", "built"), ("two", "houses", "appear"))


def write_image(path: Path, seed: int = 0, size: int = 32, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(
        0, 255, (size, size, 3), dtype=np.uint8
    )
    Image.fromarray(pixels).save(path, **more)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve pairs, each A/<n>.png and B/<n>.png, different all of them."""
    for number in range(12):
        write_image(tmp_path / "own" / "A" / f"{number}.png", number)
        write_image(tmp_path / "own" / "B" / f"{number}.png", 100 + number)
    return tmp_path / "own"


def write_csv(path: Path, rows: list[list[Any]], mark: str = ",") -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=mark).writerows(rows)
    path.write_bytes(text.getvalue().encode())
    return path


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(record) + "\n" for record in records), encoding="utf-8"
    )
    return path


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def imported(source: Path, out: Path, **more: Any) -> list[CaptionedPair]:
    """The pairs as our reader reads them, after check has passed them."""
    import_dataset(source, out, progress=False, **more)
    report = check_dataset(out, progress=False)
    assert report.ok, str(report)
    return read_dataset(out)


def pixels_of(pairs: list[CaptionedPair]) -> set[tuple[bytes, bytes]]:
    return {(pair.before.read_bytes(), pair.after.read_bytes()) for pair in pairs}


# -- each kind, written in all its forms -----------------------------------------------


def csv_of_wide_rows(root: Path) -> Path:
    rows = [[f"A/{n}.png", f"B/{n}.png", *CAPTIONS] for n in range(12)]
    return write_csv(
        root / "captions.csv", [["before", "after", "caption1", "caption2"], *rows]
    )


def tsv_of_a_row_for_each_caption(root: Path) -> Path:
    rows = [
        [caption, f"A/{n}.png", f"B/{n}.png"] for caption in CAPTIONS for n in range(12)
    ]
    return write_csv(
        root / "captions.tsv", [["Sentence", "Image_A", "Image_B"], *rows], "\t"
    )


def csv_of_windows(root: Path) -> Path:
    lines = [
        "t1;t2;text_1;text_2",
        *(f"A\\{n}.png;B\\{n}.png;{';'.join(CAPTIONS)}" for n in range(12)),
    ]
    (root / "captions.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    return root / "captions.csv"


def json_list(root: Path) -> Path:
    records = [
        {"pre": f"A/{n}.png", "post": f"B/{n}.png", "captions": CAPTIONS}
        for n in range(12)
    ]
    return write_json(root / "captions.json", records)


def folder_of_a_json_list(root: Path) -> Path:
    return json_list(root).parent


def folder_of_json_lines(root: Path) -> Path:
    records = [
        {"pre": f"A/{n}.png", "post": f"B/{n}.png", "captions": CAPTIONS}
        for n in range(12)
    ]
    return write_lines(root / "captions.jsonl", records).parent


def coco_with_two_keys(root: Path) -> Path:
    images = [
        {
            "id": n,
            "file_name": f"A/{n}.png",
            "file_name_after": f"B/{n}.png",
            "date_captured": "2020",
        }
        for n in range(12)
    ]
    annotations = [
        {"id": i, "image_id": i % 12, "caption": CAPTIONS[i // 12]} for i in range(24)
    ]
    content = {"info": {}, "images": images, "annotations": annotations}
    return write_json(root / "captions.json", content)


def coco_with_one_name_in_two_folders(root: Path) -> Path:
    images = [{"id": str(n), "file_name": f"{n}.png", "height": 32} for n in range(12)]
    annotations = [
        {"image_id": str(i % 12), "caption": CAPTIONS[i // 12]} for i in range(24)
    ]
    write_json(
        root / "annotations" / "captions.json",
        {"images": images, "annotations": annotations},
    )
    return root


def coco_with_one_name_in_two_folders_of_years(root: Path) -> Path:
    coco_with_one_name_in_two_folders(root)
    (root / "A").rename(root / "2018")
    (root / "B").rename(root / "2019")
    return root


def coco_as_xbd_names_it(root: Path) -> Path:
    dates = {"pre": "A", "post": "B"}
    images, annotations = [], []
    for n, (date, folder) in itertools.product(range(12), dates.items()):
        name = f"{n}_{date}_disaster.png"
        (root / folder / f"{n}.png").rename(root / name)
        images.append({"id": name, "file_name": name})
        caption = CAPTIONS[0] if date == "pre" else CAPTIONS[1]
        annotations.append({"image_id": name, "caption": caption})
    content = {"images": images, "annotations": annotations}
    return write_json(root / "captions.json", content)


def coco_with_an_entry_for_each_image(root: Path) -> Path:
    images = [
        {"id": f"{date}{n}", "file_name": f"{n}_{date}.png"}
        for n in range(12)
        for date in ("before", "after")
    ]
    annotations = [
        {"image_id": f"{date}{n}", "caption": caption}
        for n in range(12)
        for date, caption in zip(("before", "after"), CAPTIONS, strict=True)
    ]
    for n in range(12):
        (root / "A" / f"{n}.png").rename(root / f"{n}_before.png")
        (root / "B" / f"{n}.png").rename(root / f"{n}_after.png")
    return write_json(
        root / "captions.json", {"images": images, "annotations": annotations}
    )


def hugging_face_jsonl(root: Path) -> Path:
    records = [
        {
            "file_name": f"A/{n}.png",
            "after_file_name": f"B/{n}.png",
            "captions": [{"raw": c} for c in CAPTIONS],
        }
        for n in range(12)
    ]
    write_lines(root / "metadata.jsonl", records)
    return root


def hugging_face_csv(root: Path) -> Path:
    # As pandas writes lists
    rows = [[f"A/{n}.png", f"B/{n}.png", str(list(CAPTIONS))] for n in range(12)]
    write_csv(
        root / "metadata.csv", [["before_file_name", "after_file_name", "text"], *rows]
    )
    return root


FORMS = [
    csv_of_wide_rows, tsv_of_a_row_for_each_caption, csv_of_windows, json_list, folder_of_a_json_list,  # noqa: E501
    folder_of_json_lines, coco_with_two_keys,
    coco_with_one_name_in_two_folders_of_years, coco_as_xbd_names_it,
    coco_with_one_name_in_two_folders, coco_with_an_entry_for_each_image, hugging_face_jsonl, hugging_face_csv,  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_becomes_a_data_set_that_check_passes(
    form: Callable[[Path], Path], root: Path, tmp_path: Path
) -> None:
    expected = {
        ((root / "A" / f"{n}.png").read_bytes(), (root / "B" / f"{n}.png").read_bytes())
        for n in range(12)
    }
    pairs = imported(form(root), tmp_path / "out")
    assert pixels_of(pairs) == expected
    assert all(pair.captions == WORDS for pair in pairs)
    assert all(pair.changed is None for pair in pairs)
    splits = [pair.split for pair in pairs]
    assert [splits.count(split) for split in ("train", "val", "test")] == [10, 1, 1]
    assert {pair.name for pair in pairs} == {f"{n}.png" for n in range(12)}


def test_splits_flags_and_names_of_the_source_are_kept(
    root: Path, tmp_path: Path
) -> None:
    titles = ["split", "changed", "name", "before", "after", "caption"]
    rows = [
        ["Validation", "True", "first", "A/0.png", "B/0.png", "one"],
        ["train", "0", "second.png", "A/1.png", "B/1.png", "two"],
        ["test", "", "third", "A/2.png", "B/2.png", "three"],
        ["training", "unchanged", "fourth", "A/3.png", "B/3.png", "four"],
    ]
    imported(write_csv(root / "c.csv", [titles, *rows]), tmp_path / "out")
    content = json.loads(
        (tmp_path / "out" / "LevirCCcaptions.json").read_text(encoding="utf-8")
    )
    written = [
        (entry["split"], entry.get("changeflag"), entry["filename"])
        for entry in content["images"]
    ]
    assert written == [
        ("val", 1, "first.png"),
        ("train", 0, "second.png"),
        ("test", None, "third.png"),
        ("train", 0, "fourth.png"),
    ]


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
@pytest.mark.parametrize("above", [".", "data"])
def test_folders_of_hugging_face_name_the_splits(
    name: str, above: str, tmp_path: Path
) -> None:
    counts = {"train": 3, "validation": 2, "test": 1}
    for split, count in counts.items():
        folder = tmp_path / "hf" / above / split
        for number in range(count):
            write_image(folder / "a" / f"{number}.png", number)
            write_image(folder / "b" / f"{number}.png", number)
        records = [
            {"file_name_1": f"a/{n}.png", "file_name_2": f"b/{n}.png", "text": "x y"}
            for n in range(count)
        ]
        if name.endswith("jsonl"):
            write_lines(folder / name, records)
        else:
            write_csv(
                folder / name,
                [list(records[0]), *(list(record.values()) for record in records)],
            )
    pairs = imported(tmp_path / "hf", tmp_path / "out")
    assert [pair.split for pair in pairs] == [
        "test",
        "train",
        "train",
        "train",
        "val",
        "val",
    ]
    # Equal names of other splits are told apart.
    assert len({pair.name for pair in pairs}) == 6


def test_the_first_folder_of_a_path_names_the_split_in_a_common_metadata_file(
    tmp_path: Path,
) -> None:
    records = []
    for split in ("train", "val"):
        paths = [f"{split}/{date}.png" for date in ("x_before", "x_after")]
        for path in paths:
            write_image(tmp_path / "hf" / path)
        records.append(
            {
                "before_file_name": paths[0],
                "after_file_name": paths[1],
                "caption": "a house",
            }
        )
    write_lines(tmp_path / "hf" / "metadata.jsonl", records)
    pairs = imported(tmp_path / "hf", tmp_path / "out")
    assert [(pair.split, pair.name) for pair in pairs] == [
        ("train", "x.png"),
        ("val", "x-2.png"),
    ]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_several_files_are_one_for_each_split(
    form: str, root: Path, tmp_path: Path
) -> None:
    for number, split in enumerate(("train2014", "val", "test")):
        if form == "csv":
            rows = [
                ["before", "after", "caption"],
                [f"A/{number}.png", f"B/{number}.png", "x"],
            ]
            write_csv(root / f"captions_{split}.csv", rows)
        else:
            images = [
                {"id": 1, "before": f"A/{number}.png", "after": f"B/{number}.png"}
            ]
            content = {
                "images": images,
                "annotations": [{"image_id": 1, "caption": "x"}],
            }
            write_json(root / "annotations" / f"captions_{split}.json", content)
    assert sorted(pair.split for pair in imported(root, tmp_path / "out")) == [
        "test",
        "train",
        "val",
    ]


def test_images_keep_their_bytes_and_get_the_ending_of_their_content(
    tmp_path: Path,
) -> None:
    source = tmp_path / "own"
    write_image(source / "a.png", 1, format="JPEG")
    write_image(source / "b.jpg", 2, format="PNG")
    write_image(source / "c.tif", 3)
    write_image(source / "d.webp", 4)
    rows = [["a.png", "b.jpg", "x"], ["c.tif", "d.webp", "y"]]
    pairs = imported(
        write_csv(source / "t.csv", [["before", "after", "caption"], *rows]),
        tmp_path / "out",
        val=0,
        test=0,
    )
    assert [(pair.before.name, pair.after.name) for pair in pairs] == [
        ("a.jpg", "a.png"),
        ("c.tif", "c.webp"),
    ]
    for pair, (before, after, _) in zip(pairs, rows, strict=True):
        assert pair.before.read_bytes() == (source / before).read_bytes()
        assert pair.after.read_bytes() == (source / after).read_bytes()


# -- splits ----------------------------------------------------------------------------


def test_drawn_splits_depend_on_seed_and_paths_alone(
    root: Path, tmp_path: Path
) -> None:
    rows = [[f"A/{n}.png", f"B/{n}.png", "x"] for n in range(12)]
    forward = write_csv(root / "one.csv", [["before", "after", "caption"], *rows])
    backward = write_csv(
        root / "two.csv", [["before", "after", "caption"], *rows[::-1]]
    )

    def drawn(source: Path, **more: Any) -> dict[str, str]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        return {
            pair.name: pair.split
            for pair in imported(source, out, val=0.25, test=0.25, **more)
        }

    splits = drawn(forward)
    assert drawn(backward) == splits
    assert drawn(forward, seed=1) != splits
    assert sorted(splits.values()) == ["test"] * 3 + ["train"] * 6 + ["val"] * 3


def test_splits_can_be_drawn_anew(root: Path, tmp_path: Path) -> None:
    rows = [[f"A/{n}.png", f"B/{n}.png", "x", "train"] for n in range(12)]
    source = write_csv(root / "c.csv", [["before", "after", "caption", "split"], *rows])
    kept = import_dataset(source, tmp_path / "kept", progress=False)
    assert kept.pairs == {"train": 12, "val": 0, "test": 0}
    assert "no pair is in val, which training needs; --resplit draws new splits" in str(
        kept
    )
    anew = import_dataset(source, tmp_path / "anew", resplit=True, progress=False)
    assert anew.pairs == {"train": 10, "val": 1, "test": 1}


# -- names -----------------------------------------------------------------------------

HOSTILE = [
    "../x",
    "/etc/x",
    "..",
    ".",
    "C:\\x",
    "a\nb",
    "a\x00b",
    "con",
    "é",
    "-rf",
    "A",
    "a",
    "\x85",
    "x" * 300,
]


def files_outside(folder: Path, inside: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(inside)
    ]


@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.text(max_size=20) | st.sampled_from(HOSTILE), min_size=1, max_size=8)
)
@example(HOSTILE)
@example(["x", "x-2", "x", "X", "x.png"])
@example(["x\ud800"])
def test_any_names_stay_inside_and_apart(tmp_path: Path, names: list[str]) -> None:
    source, out = tmp_path / "own", tmp_path / "deep" / "out"
    shutil.rmtree(tmp_path / "deep", ignore_errors=True)
    before, records = write_image(source / "A.png", 1), []
    for number, name in enumerate(names):
        after = write_image(source / f"{number}.png", 10 + number)
        records.append(
            {"before": str(before), "after": str(after), "caption": "x y", "name": name}
        )
    before_import = files_outside(tmp_path, out)
    table = source / "t.jsonl"
    if any("\ud800" <= letter <= "\udfff" for name in names for letter in name):
        write_lines(table, records)
        with pytest.raises(DataError, match="half of a surrogate pair"):
            import_dataset(table, out, progress=False)
        return
    write_lines(table, records)
    pairs = imported(table, out, val=0, test=0)
    assert [pair.after.read_bytes() for pair in pairs] == [
        Path(r["after"]).read_bytes() for r in records
    ]
    assert len({pair.name.casefold() for pair in pairs}) == len(names)
    assert set(files_outside(tmp_path, out)) == {*before_import, table}


def test_hostile_names_of_files_stay_inside(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such names")
    source = tmp_path / "own"
    names = ["a\nb", "-rf", "con", "..hidden", "x:y", "tab\there"]
    records = [
        {"before": f"{name}.png", "after": f"{name}.png", "caption": "x"}
        for name in names
        if write_image(source / f"{name}.png")
    ]
    pairs = imported(
        write_lines(source / "t.jsonl", records), tmp_path / "out", val=0, test=0
    )
    assert [pair.name for pair in pairs] == [
        "a_b.png", "rf.png", "_con.png", "hidden.png", "x_y.png", "tab_here.png"
    ]  # fmt: skip


# -- what is refused, all at once, with nothing written --------------------------------


def test_all_problems_are_told_with_their_lines_and_nothing_is_written(
    root: Path, tmp_path: Path
) -> None:
    rows = [
        ["A/0.png", "B/0.png", "a road", "train", "1"],
        ["A/none.png", "B/1.png", "a road", "train", "1"],
        ["A/2.png", "", "a road", "train", "1"],
        ["A/3.png", "B/3.png", " ", "train", "1"],
        ["A/4.png", "B/4.png", "...", "train", "1"],
        ["A/5.png", "B/5.png", "a\x07b", "train", "1"],
        ["A/6.png", "B/6.png", "a road", "trian", "1"],
        ["A/7.png", "B/7.png", "a road", "", "1"],
        ["A/8.png", "B/8.png", "a road", "train", "maybe"],
        ["A/0.png", "B/0.png", "two\nlines", "val", "0"],
        ["A/9.png", "B/9.png", "word " * 1001, "train", "1"],
    ]
    source = write_csv(
        root / "c.csv", [["before", "after", "caption", "split", "changed"], *rows]
    )
    with pytest.raises(DataError) as caught:
        import_dataset(source, tmp_path / "out", progress=False)
    told = str(caught.value)
    assert (
        "cannot be imported (11 problems); nothing was written" in told.splitlines()[0]
    )
    for line in (
        "c.csv, line 3: before 'A/none.png' is no file (looked in ",
        "c.csv, line 4: after is ''; it must be the path of an image",
        "c.csv, line 5: the pair has no caption",
        "c.csv, line 6: caption '...' has no words",
        "c.csv, line 7: caption 'a\\x07b' holds a control character",
        "c.csv, line 8: unknown split 'trian'; did you mean 'train'?",
        "c.csv, line 9: the pair has no split, but others have one",
        "c.csv, line 10: changed is 'maybe'; it must be 1 or 0, true or false",
        "c.csv, line 11: split is val, but c.csv, line 2 says train of the same pair",
        "c.csv, line 11: changed is 0, but c.csv, line 2 says 1 of the same pair",
        "has 1,001 words; a caption has at most 1,000",
    ):
        assert line in told
    assert not (tmp_path / "out").exists()


def test_no_more_than_twenty_problems_are_told(root: Path, tmp_path: Path) -> None:
    rows = [[f"none{n}.png", "B/0.png", "x"] for n in range(500)]
    source = write_csv(root / "c.csv", [["before", "after", "caption"], *rows])
    with pytest.raises(
        DataError, match=r"500 problems(.|\n)*… and 480 more$"
    ) as caught:
        import_dataset(source, tmp_path / "out", progress=False)
    assert len(str(caught.value).splitlines()) == 22


def test_images_that_training_would_refuse_are_told_before_anything_is_written(
    root: Path, tmp_path: Path
) -> None:
    (root / "A" / "0.png").write_bytes(b"")
    (root / "A" / "1.png").write_bytes((root / "A" / "1.png").read_bytes()[:500])
    write_image(root / "B" / "2.png", size=40)
    write_image(root / "B" / "3.png", size=8)
    with pytest.raises(DataError, match="4 problems") as caught:
        import_dataset(csv_of_wide_rows(root), tmp_path / "out", progress=False)
    for line in (
        "line 2: ",
        "line 3: ",
        "line 4: the two images differ in size",
        "line 5: ",
    ):
        assert f"captions.csv, {line}" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "c.csv",
            "before,after\nA/0.png,B/0.png\n",
            "no column for caption; its columns are 'before', 'after'",
        ),
        ("c.csv", "x,y\n1,2\n", "no column for before and after and caption"),
        ("c.csv", "before,after,caption\n", "has no line of data"),
        ("c.csv", "", "has no line of data"),
        (
            "c.csv",
            "before,before,after,caption\na,b,c,d\n",
            "more than one column 'before'",
        ),
        (
            "c.csv",
            "before,image_before,after,caption\na,b,c,d\n",
            "2 columns for before: before, image_before",
        ),
        (
            "c.csv",
            "before,after,caption\na,b,c,d\n",
            r"line 2: it has 4 cells, but there are 3 columns",
        ),
        (
            "c.csv",
            'before,after,caption\na,b,"c\n',
            "line 2: a quotation mark is opened and never closed",
        ),
        (
            "c.csv",
            'before,after,caption\na,b,"c"d\n',
            "line 2: a quotation mark is closed within a cell",
        ),
        (
            "c.csv",
            "before,after,caption\na,b," + "c" * 200_000,
            "line 2: a cell has more than 131,072",
        ),
        ("c.csv", "before,after,caption\na\x00,b,c\n", "is no file"),
        ("c.jsonl", '{"before": "a"}\n{"before": 1\n', "line 2: it is no JSON"),
        (
            "c.jsonl",
            '{"before": "a"}\n{"before": "b"}\n[]\n',
            r"line 3: it is \[\], not a JSON object",
        ),
        (
            "c.json",
            '{"images": [{"id": 1}], "annotations": []}',
            "its images name no pairs",
        ),
        ("c.json", '{"images": [], "annotations": []}', 'the list "images" is empty'),
        (
            "c.json",
            '{"images": [3], "annotations": [4]}',
            r"images\[0\]: it has no id: 3",
        ),
        (
            "c.json",
            '{"images": {}, "annotations": []}',
            r"JSON with other keys \('images', 'annotations'\)",
        ),
        (
            "c.json",
            '{"a": 1, "b": 2}',
            r"JSON with other keys \('a', 'b'\); looked for",
        ),
        ("c.json", '{"a": ', "is no readable JSON"),
        ("c.json", "[1, 2]", "entry 0: it is 1, not a JSON object"),
        ("c.json", "[]", "has no line of data"),
        ("c.json", "[" * 100_000, "is no readable JSON"),
        ("c.json", '[{"before": "a", "after": "b", "caption": 3}]', "is no file"),
    ],
)
def test_files_that_are_none_are_told(
    name: str, text: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told) as caught:
        import_dataset(tmp_path / name, tmp_path / "out", progress=False)
    assert name in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"images": [{"id": 1, "file_name": "none.png"}]},
            "'none.png' is one image, and the other of its pair",
        ),
        (
            {"images": [{"id": 1, "file_name": 7}]},
            "file_name is 7; it must be the name of a file",
        ),
        ({"images": [{"id": [1], "file_name": "0.png"}]}, "it has no id"),
        (
            {"images": [{"id": 1, "file_name": "0.png"}] * 2},
            "the id 1 is taken already",
        ),
        (
            {"annotations": [{"image_id": 2, "caption": "x"}]},
            "there is no image with the id 2",
        ),
        (
            {"annotations": [{"image_id": [1], "caption": "x"}]},
            r"image_id is \[1\], no number",
        ),
        (
            {"annotations": [{"image_id": 1}]},
            r"annotations\[0\]: it has no image_id and caption",
        ),
        ({"annotations": [{"image_id": 1, "caption": 4}]}, "captions 4 is no sentence"),
        ({"annotations": []}, "the pair has no caption"),
    ],
)
def test_wrong_entries_of_coco_are_told(
    change: dict[str, Any], told: str, root: Path, tmp_path: Path
) -> None:
    good = {
        "images": [{"id": 1, "file_name": "0.png"}],
        "annotations": [{"image_id": 1, "caption": "a road"}],
    }
    assert (
        len(
            imported(
                write_json(root / "c.json", good), tmp_path / "good", val=0, test=0
            )
        )
        == 1
    )
    write_json(root / "c.json", good | change)
    with pytest.raises(DataError, match=told):
        import_dataset(root / "c.json", tmp_path / "out", val=0, test=0, progress=False)


def test_names_that_end_alike_are_not_taken_for_dates_where_folders_tell_them(
    tmp_path: Path,
) -> None:
    """tile_1 and tile_2 are two pairs here, in folders A and B, and not one pair of
    tile."""
    for name in ("tile_1.png", "tile_2.png"):
        for number, date in enumerate("AB"):
            write_image(tmp_path / "own" / date / name, 2 * number + int(name[5]))
    images = [{"id": n, "file_name": f"tile_{n}.png"} for n in (1, 2)]
    annotations = [{"image_id": n, "caption": f"number {n}"} for n in (1, 2)]
    source = write_json(
        tmp_path / "own" / "c.json", {"images": images, "annotations": annotations}
    )
    pairs = imported(source, tmp_path / "out", val=0, test=0)
    assert [pair.captions for pair in pairs] == [(("number", "1"),), (("number", "2"),)]
    assert [pair.name for pair in pairs] == ["tile_1.png", "tile_2.png"]


def test_a_folder_without_captions_is_told_with_what_is_in_it(
    root: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"looked for\n(.|\n)*and saw: A/, B/$"):
        import_dataset(root, tmp_path / "out", progress=False)
    (root / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        DataError, match="Parquet is not read: save the images as files"
    ):
        import_dataset(root, tmp_path / "out", progress=False)
    (root / "one.csv").touch()
    (root / "two.csv").touch()
    with pytest.raises(
        DataError, match=r"several files of captions \(one.csv, two.csv\)"
    ):
        import_dataset(root, tmp_path / "out", progress=False)
    with pytest.raises(DataError, match="nothing of the kind coco"):
        import_dataset(root, tmp_path / "out", kind="coco", progress=False)


def test_what_needs_no_import_is_told(tiny_data: Path, tmp_path: Path) -> None:
    for source in (tiny_data, tiny_data / "LevirCCcaptions.json"):
        with pytest.raises(DataError, match="LEVIR-CC's layout already"):
            import_dataset(source, tmp_path / "out", progress=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes with names")
def test_a_pipe_is_refused_and_not_waited_for(root: Path, tmp_path: Path) -> None:
    import os

    os.mkfifo(root / "pipe.csv")
    with pytest.raises(DataError, match="it is a pipe"):
        import_dataset(root / "pipe.csv", tmp_path / "out", progress=False)
    rows = [["before", "after", "caption"], ["pipe.csv", "B/0.png", "x"]]
    with pytest.raises(DataError, match=r"line 2: before 'pipe\.csv' is no file"):
        import_dataset(
            write_csv(root / "c.csv", rows), tmp_path / "out", progress=False
        )


def test_two_keys_for_one_image_are_told_with_the_file(tmp_path: Path) -> None:
    image = {"id": 1, "before": "a.png", "image_before": "b.png", "after": "c.png"}
    annotation = {"image_id": 1, "caption": "a road is built"}
    file = write_json(
        tmp_path / "a.json", {"images": [image], "annotations": [annotation]}
    )
    with pytest.raises(
        DataError, match=r"a\.json, images: it has 2 columns for before"
    ):
        import_dataset(file, tmp_path / "out", progress=False)


def test_a_file_that_is_not_of_the_kind_that_was_named_is_refused(
    tmp_path: Path,
) -> None:
    file = write_json(tmp_path / "a.json", {"pictures": []})
    with pytest.raises(
        DataError, match=r'a\.json has no lists "images" and "annotations"'
    ):
        import_dataset(file, tmp_path / "out", kind="coco", progress=False)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--val", "1"], "val=1.0 must be a share"),
        (["--val=-0.1"], "val=-0.1 must be a share"),
        (["--val", ".nan"], "val=nan must be a share"),
        (["--val", "nan"], "val is 'nan'"),
        (["--val", "0.5", "--test", "0.5"], "leave nothing to train on"),
        (["--seed", "-1"], "seed is -1"),
        (["--seed", "4294967296"], "seed is 4294967296"),
        (["--kind", "cocoa"], "did you mean 'coco'"),
        (["--kind", ""], "kind is empty"),
    ],
)
def test_numbers_and_kinds_that_cannot_be_are_refused(
    flags: list[str],
    told: str,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = csv_of_wide_rows(root)
    assert main(["import", str(source), str(tmp_path / "out"), *flags]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_few_pairs_for_three_splits_are_told(root: Path, tmp_path: Path) -> None:
    rows = [
        ["before", "after", "caption"],
        ["A/0.png", "B/0.png", "x"],
        ["A/1.png", "B/1.png", "x"],
    ]
    source = write_csv(root / "c.csv", rows)
    with pytest.raises(DataError, match=r"has 2 pairs, too few .* --val 0 --test 0"):
        import_dataset(source, tmp_path / "out", progress=False)
    assert len(imported(source, tmp_path / "out", val=0, test=0)) == 2


@pytest.mark.parametrize(
    "form", [csv_of_wide_rows, coco_with_two_keys, hugging_face_jsonl, json_list]
)
@pytest.mark.parametrize("whole_folder", [True, False])
def test_what_can_be_imported_is_refused_elsewhere_with_that_word_and_in_one_line(
    form: Callable[[Path], Path], whole_folder: bool, root: Path
) -> None:
    source = root if whole_folder else form(root)
    form(root)
    with pytest.raises(DataError, match="`sencap import SOURCE OUT`") as caught:
        read_dataset(source)
    assert len(str(caught.value).splitlines()) <= 3


# -- outputs ---------------------------------------------------------------------------


def test_only_a_new_or_empty_folder_is_written_to(root: Path, tmp_path: Path) -> None:
    source = csv_of_wide_rows(root)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    for out in (tmp_path / "mine", root):
        with pytest.raises(DataError, match="is not empty"):
            import_dataset(source, out, progress=False)
    for out in (source, source / "below"):
        with pytest.raises(SettingsError, match="is a file"):
            import_dataset(source, out, progress=False)
    (tmp_path / "empty").mkdir()
    assert len(imported(source, tmp_path / "empty")) == 12


@pytest.mark.parametrize("was_there", [True, False])
@pytest.mark.parametrize(
    "stop", [OSError(28, "No space left on device"), KeyboardInterrupt()]
)
def test_what_was_begun_is_deleted_and_the_same_command_can_be_given_again(
    stop: BaseException,
    was_there: bool,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, out = csv_of_wide_rows(root), tmp_path / "out"
    if was_there:
        out.mkdir()
    copied: list[Path] = []

    def stopping(before: Path, after: Path) -> None:
        if len(copied) == 5:
            raise stop
        copied.append(after)
        after.write_bytes(before.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", stopping)
        with pytest.raises((OutputError, KeyboardInterrupt), match=r"make room|^$"):
            import_dataset(source, out, progress=False)
    assert out.is_dir() == was_there
    assert not was_there or not list(out.iterdir())
    assert len(imported(source, out)) == 12


def test_a_disk_without_room_is_told_before_anything_is_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(OutputError, match="GB left; make room"):
        import_dataset(csv_of_wide_rows(root), tmp_path / "new" / "out", progress=False)
    assert not (tmp_path / "new").exists()


def test_the_verb_says_what_it_did(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["import", str(csv_of_wide_rows(root)), str(out), "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "12 pairs (10 train, 1 val, 1 test; drawn here), 24 captions, 7 different words",
        "change flags: none in the source",
        f"wrote {out}",
    ]
    report = sencap.import_dataset(
        root / "captions.csv", tmp_path / "again", progress=False
    )
    assert (report.captions, report.words, report.kind) == (24, 7, "table")


# -- names of columns
# ----------------------------------------------------------------------------------  #


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("before", "before"), ("Before", "before"), ("image_before", "before"), ("before_file_name", "before"),  # noqa: E501
        ("A", "before"), ("img_a", "before"), ("t1", "before"), ("Image 1", "before"), ("pre", "before"),  # noqa: E501
        ("after", "after"), ("file_name_after", "after"), ("B", "after"), ("file_name_2", "after"),
        ("pre_disaster", "before"), ("later", "after"), ("phase 1", "before"), ("date1", None),
        ("post_image", "after"), ("t2", "after"), ("file_name", ""), ("filename", ""), ("image", ""),  # noqa: E501
        ("caption1", None), ("caption_a", None), ("id", None), ("name", None), ("t3", None), ("changed", None),  # noqa: E501
        ("date_captured", None), ("date_before", None), ("coco_url", None), ("", None), ("1st_caption", None),  # noqa: E501
    ],
)  # fmt: skip
def test_columns_of_images_are_told_by_their_names(name: str, side: str | None) -> None:
    assert image_side(name) == side


@pytest.mark.parametrize(
    ("before", "after"),
    [("2018", "2019"), ("image0", "image1"), ("im_2018-03", "im_2019-01")],
)
def test_columns_of_two_dates_are_told_together(before: str, after: str) -> None:
    found = find_columns([after, "caption_1", "caption_2", before, "name"])
    assert (found.before, found.after) == (before, after)
    assert found.captions == ("caption_1", "caption_2")


def test_columns_of_captions_and_the_rest() -> None:
    found = find_columns(
        [
            "id",
            "name",
            "before",
            "after",
            "caption_1",
            "captions",
            "text",
            "split",
            "changeflag",
            "caption_id",
        ]
    )
    assert found.captions == ("caption_1", "captions", "text")
    assert (found.before, found.after, found.split, found.changed, found.name) == (
        "before", "after", "split", "changeflag", "name"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("captions_train2014", "train"),
        ("validation", "val"),
        ("Dev", "val"),
        ("my-test", "test"),
        ("trainer", ""),
    ],
)
def test_splits_are_told_by_names_of_files(name: str, split: str) -> None:
    assert split_of(name) == split
