"""Captions made elsewhere: every form in which people keep them gives the same words,
and nothing is given to a wrong pair."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.data.entries import CaptionEntry
from sencap.data.importing.matching import captions_of_pairs
from sencap.data.importing.predictions import Prediction, read_predictions
from sencap.errors import DataError

SAID = {
    "test_000001.png": "a road is built",
    "test_000002.png": "there is no difference",
}
FIRST, SECOND = SAID.values()
LINES = [f"{name}\t{text}" for name, text in SAID.items()]


def pair(name: str, split: str = "test", imgid: str = "") -> CaptionEntry:
    return CaptionEntry(name, split, split, (("a",),), True, "file: entry", imgid)


PAIRS = [pair("test_000001.png", imgid="7"), pair("test_000002.png", imgid="8")]
OTHERS = [pair("train_000001.png", "train", "1")]


def write(folder: Path, content: Any, name: str = "captions.json") -> Path:
    file = folder / name
    file.write_text(
        content if isinstance(content, str) else json.dumps(content), encoding="utf-8"
    )
    return file


def words(file: Path) -> list[str]:
    said, _ = captions_of_pairs(read_predictions(file), PAIRS, OTHERS, file)
    return [" ".join(caption) for caption in said]


FORMS = {
    "name to sentence": SAID,
    "without ending": {name[:-4]: text for name, text in SAID.items()},
    "with folders": {f"C:\\data\\test\\A\\{name}": text for name, text in SAID.items()},
    "lists of one": {name: [text] for name, text in SAID.items()},
    "words": {name: text.split() for name, text in SAID.items()},
    "pycocoevalcap's": {
        "7": [{"caption": FIRST, "image_id": 7}],
        "8": [{"caption": SECOND}],
    },
    "COCO's results": [
        {"image_id": 7, "caption": FIRST},
        {"image_id": 8, "caption": SECOND},
    ],
    "COCO's whole": {
        "images": [
            {"id": 1, "file_name": "A/test_000001.png"},
            {"id": 2, "file_name": "8"},
        ],
        "annotations": [
            {"image_id": 1, "caption": FIRST},
            {"image_id": 2, "caption": SECOND},
        ],
    },
    "file name beside an id of its own": [
        {"image_id": 0, "file_name": name, "caption": text}
        for name, text in SAID.items()
    ],
    "one caption of a pair for each of its references": [
        {"filename": name, "prediction": text}
        for name, text in SAID.items()
        for _ in range(5)
    ],
    "references beside": {
        name: {"prediction": text, "references": ["x", "y"]}
        for name, text in SAID.items()
    },
    "evaluated": {
        "overall": {"CIDEr": 1.0},
        "imgToEval": {
            name: {"caption": text, "CIDEr": 2.0} for name, text in SAID.items()
        },
    },
    "LEVIR-CC's": {
        "images": [
            {"filename": name, "sentences": [{"tokens": text.split()}]}
            for name, text in SAID.items()
        ]
    },
    "our report": {
        "ids": {},
        "pairs": [
            {"filename": name, "hypothesis": text} for name, text in SAID.items()
        ],
    },
    "name and sentence": [[name, text] for name, text in SAID.items()],
    "markers, capitals and stops": {
        "test_000001.png": "<start> A road is built. <end> <pad> trees",
        "test_000002.png": "<s> There is no difference . </s>",
    },
    "a line each": "\n".join(
        json.dumps({"name": name, "before": "x.png", "caption": text, "changed": True})
        for name, text in SAID.items()
    ),
    "CSV": f'image,caption\ntest_000001.png,"{FIRST}"\ntest_000002.png,{SECOND}\n',
    "CSV with other columns": f"id;score;Predicted Caption\n7;0.5;{FIRST}\n8;0.4;{SECOND}\n",
    "CSV without titles": f"test_000001.png,{FIRST}\ntest_000002.png,{SECOND}\n",
    "TSV as sencap caption prints it": "\n".join(LINES),
    "numbered as Flickr's": "\n".join(line.replace("\t", "#0\t") for line in LINES),
    "sentences alone, in order": f"{FIRST}\n{SECOND}\n",
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_words(content: Any, tmp_path: Path) -> None:
    assert words(write(tmp_path, content)) == [FIRST, SECOND]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c"])
def test_only_line_ends_end_a_line(tmp_path: Path, mark: str) -> None:
    """Letters at which Python would split lines too are white space in a caption, or
    none."""
    text = f"test_000001.png,a road{mark} is built\r\n\r\ntest_000002.png,a house\r\n"
    assert words(write(tmp_path, text)) == ["a road is built", "a house"]


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = "test_000001.png,a road\n\n\ntest_000002.png,a \0 house\n"
    with pytest.raises(DataError, match=r"line 4: .* holds a control character"):
        words(write(tmp_path, text))


def test_a_sentence_may_hold_commas_and_be_empty(tmp_path: Path) -> None:
    file = write(
        tmp_path, 'test_000001.png,"a road, and houses"\ntest_000002.png,\n', "a.csv"
    )
    assert words(file) == ["a road and houses", ""]
    file = write(
        tmp_path, "test_000001.png,a road, and houses\ntest_000002.png,\n", "a.csv"
    )
    assert words(file) == ["a road and houses", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"test_000001.png": FIRST},
            r"none of 1 of the 2 pairs \('test_000002.png'\).*Every pair",
        ),
        (
            SAID | {"nobody.png": "x"},
            "is called 'nobody.png'; a name is like 'test/test_0000",
        ),
        (
            [*SAID.items(), ["7", "a lake"]],
            "'test_000001.png' has another caption already",
        ),
        ({"7": [FIRST, SECOND], "8": SECOND}, "2 captions; give one for each pair"),
        ({"7": 3, "8": SECOND}, "'7': 3 is no sentence"),
        (
            [{"image_id": 7, "words": FIRST}],
            "it has no caption; its keys are 'image_id', 'words'",
        ),
        ([{"caption": FIRST}, {"id": 8, "caption": SECOND}], "it has no name"),
        ([FIRST], "1 captions without names, and 2 pairs"),
        (
            [f"test_000001: {FIRST}", SECOND],
            "its caption begins with the name of a pair",
        ),
        ([3, 4], r"captions.json\[0\]: 3 is no object"),
        (
            {"7": "a " * 1001, "8": ""},
            "it has 1,001 words; a caption has at most 1,000",
        ),
        ({"7": "a \x07 road", "8": ""}, "holds a control character"),
        (
            {
                "images": [{"id": 1}],
                "annotations": [{"image_id": "9" * 5000, "caption": "a"}],
            },
            "no pair of the data set, or more than one, is called '9999",
        ),
        ([[[[FIRST]]]], "is no object with a name and a caption"),
        ({}, "holds no caption; give JSON or CSV"),
        ("", "holds no caption"),
        ("[1,", "is no readable JSON"),
        (
            'image,caption\nx.png,"a road\n',
            "a quotation mark is opened and never closed",
        ),
    ],
    ids=range(18),
)
def test_what_cannot_be_scored_is_refused_with_its_place(
    content: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        words(write(tmp_path, content))


def test_captions_of_other_splits_are_left_out_and_said(tmp_path: Path) -> None:
    file = write(tmp_path, SAID | {"train_000001.png": "x"})
    said, notes = captions_of_pairs(read_predictions(file), PAIRS, OTHERS, file)
    assert [" ".join(caption) for caption in said] == [FIRST, SECOND]
    assert notes == ["1 captions are of pairs that are not scored here."]


def test_captions_without_names_are_said_to_be_taken_in_order(tmp_path: Path) -> None:
    file = write(tmp_path, f"{FIRST}\n{SECOND}\n", "captions.txt")
    _, notes = captions_of_pairs(read_predictions(file), PAIRS, OTHERS, file)
    assert "no names" in notes[0]


def test_a_name_of_two_splits_is_told_by_its_folder() -> None:
    both = [pair("1.png", "val"), pair("1.png", "test")]
    given = [
        Prediction("", (f"images/{split}/B/1.png",), (split,))
        for split in ("test", "val")
    ]
    said, _ = captions_of_pairs(given, both, [], Path("x"))
    assert said == [("val",), ("test",)]
    with pytest.raises(DataError, match=r"or more than one, is called '1\.png'"):
        captions_of_pairs([Prediction("", ("1.png",), ("a",))], both, [], Path("x"))


@given(st.permutations(range(6)), st.data())
def test_every_pair_gets_its_own_caption_in_any_order_and_by_any_name(
    order: list[int], data: st.DataObject
) -> None:
    pairs = [
        pair(f"test_{number:06d}.png", imgid=str(100 + number)) for number in range(6)
    ]
    given_captions = []
    for number in order:
        one = pairs[number]
        names = [
            one.name,
            one.name[:-4],
            f"x/test/A/{one.name}",
            one.imgid,
            f"{one.name}#0",
        ]
        name = data.draw(st.sampled_from(names))
        given_captions.append(Prediction("", (name,), (str(number),)))
    said, notes = captions_of_pairs(given_captions, pairs, [], Path("x"))
    assert said == [(str(number),) for number in range(6)]
    assert notes == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["images", "annotations", "id", "image_id", "caption", "data", "7"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON | st.text(max_size=60))
def test_any_file_is_scored_or_refused_in_our_words(content: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "captions"
        text = content if isinstance(content, str) else json.dumps(content)
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(DataError):
            said, _ = captions_of_pairs(read_predictions(file), PAIRS, OTHERS, file)
            assert len(said) == len(PAIRS)
