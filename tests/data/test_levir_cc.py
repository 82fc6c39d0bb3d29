"""Data sets in LEVIR-CC's layout and its kin: read right, or refused with every reason
at once."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sencap.data.levir_cc import read_captions, read_dataset
from sencap.errors import DataError, SettingsError

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not here")
CHANGED = "a road is built"
SAME = "there is no difference"


def entry(
    number: int, split: Any = "train", *, sentence: str = CHANGED, **changes: Any
) -> dict[str, Any]:
    """An entry with two sentences; ``changes`` replace keys, or remove them where they
    are ``...``."""
    ids = [2 * number, 2 * number + 1]
    sentences = [
        {
            "tokens": sentence.split(),
            "raw": f" {sentence} .",
            "imgid": number,
            "sentid": sentid,
        }
        for sentid in ids
    ]
    image = {
        "filepath": split,
        "filename": f"{split}_{number:06d}.png",
        "imgid": number,
        "split": split,
        "changeflag": int(sentence != SAME),
        "sentids": ids,
        "sentences": sentences,
    } | changes
    return {key: value for key, value in image.items() if value is not ...}


def write(
    root: Path, images: list[Any], name: str = "LevirCCcaptions.json", suffix: str = ""
) -> None:
    """A caption file and, empty, the images that it names."""
    (root / name).write_text(
        json.dumps({"dataset": "x", "images": images}), encoding="utf-8"
    )
    for image in images:
        for date in "AB":
            file = (
                root
                / "images"
                / image.get("filepath", image["split"])
                / date
                / image["filename"]
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.with_suffix(suffix) if suffix else file).touch()


def test_the_official_layout(tmp_path: Path) -> None:
    write(tmp_path, [entry(0), entry(1, "val", sentence=SAME), entry(2, "test")])
    first, second, third = read_dataset(tmp_path)
    assert first.name == "train_000000.png"
    assert first.before == tmp_path / "images" / "train" / "A" / "train_000000.png"
    assert first.after == tmp_path / "images" / "train" / "B" / "train_000000.png"
    assert first.captions == (("a", "road", "is", "built"),) * 2
    assert first.source == "LevirCCcaptions.json: images[0] (train_000000.png)"
    assert [pair.split for pair in (first, second, third)] == ["train", "val", "test"]
    assert [pair.changed for pair in (first, second, third)] == [True, False, True]
    assert read_dataset(tmp_path / "LevirCCcaptions.json") == [first, second, third]


def test_splits_are_chosen(tmp_path: Path) -> None:
    write(tmp_path, [entry(0), entry(1, "val"), entry(2)])
    assert [pair.name for pair in read_dataset(tmp_path, splits=["val"])] == [
        "val_000001.png"
    ]
    assert [item.name for item in read_captions(tmp_path, splits=("val", "test"))] == [
        "val_000001.png"
    ]
    with pytest.raises(
        DataError, match="has no pair in test; it has pairs in train, val"
    ):
        read_dataset(tmp_path, splits=["test"])
    with pytest.raises(SettingsError, match="unknown split 'vali': did you mean 'val'"):
        read_dataset(tmp_path, splits=["vali"])


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG", ".PNG", ".tif", ".webp"])
def test_images_under_another_suffix(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, [entry(0)], suffix=suffix)
    assert read_dataset(tmp_path)[0].after.name == "train_000000" + suffix


def test_the_suffix_named_comes_first(tmp_path: Path) -> None:
    write(tmp_path, [entry(0)])
    (tmp_path / "images" / "train" / "A" / "train_000000.jpg").touch()
    assert read_dataset(tmp_path)[0].before.name == "train_000000.png"


def test_images_without_folders_per_split(tmp_path: Path) -> None:
    write(tmp_path, [entry(0, filepath=".")])
    (tmp_path / "LevirCCcaptions.json").write_text(
        json.dumps({"images": [entry(0, filepath=...)]})
    )
    assert (
        read_dataset(tmp_path)[0].before
        == tmp_path / "images" / "A" / "train_000000.png"
    )


def test_optional_keys_may_be_absent(tmp_path: Path) -> None:
    bare = [{"tokens": CHANGED.split()}]
    other = entry(1, sentence=SAME, changeflag=...)
    write(
        tmp_path,
        [
            entry(
                0, filepath=..., imgid=..., sentids=..., changeflag=..., sentences=bare
            ),
            other,
        ],
    )
    assert [pair.changed for pair in read_dataset(tmp_path)] == [True, False]


def test_without_flags_and_known_sentences_nobody_knows_what_changed(
    tmp_path: Path,
) -> None:
    """A data set in German: "alles gleich" is no sentence of ours, so no pair is called
    changed."""
    texts = ["ein weg wurde gebaut", "alles gleich", "ein see"]
    write(
        tmp_path,
        [entry(n, sentence=text, changeflag=...) for n, text in enumerate(texts)],
    )
    assert [pair.changed for pair in read_dataset(tmp_path)] == [None, None, None]


def test_missing_flags_are_told_by_the_sentences_that_flagged_pairs_teach(
    tmp_path: Path,
) -> None:
    texts = ["ein weg", "alles gleich", "alles gleich", "ein see"]
    flags: list[Any] = [1, 0, ..., ...]
    write(
        tmp_path,
        [entry(n, sentence=text, changeflag=flags[n]) for n, text in enumerate(texts)],
    )
    assert [pair.changed for pair in read_dataset(tmp_path)] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("by", ["file", "caller"])
def test_sentences_of_no_change_may_be_named(by: str, tmp_path: Path) -> None:
    """In any language, and however they are written; then a pair's sentences tell its
    flag."""
    images = [entry(0, sentence="ein weg"), entry(1, sentence="alles ist gleich")]
    for image in images:
        image.pop("changeflag", None)
    content: dict[str, Any] = {"images": images}
    if by == "file":
        content["no_change"] = ["Alles ist gleich."]
    (tmp_path / "LevirCCcaptions.json").write_text(json.dumps(content))
    named = ["Alles ist gleich."] if by == "caller" else None
    entries = read_captions(tmp_path, no_change=named)
    assert [one.changed for one in entries] == [True, False]
    assert [one.flagged for one in entries] == [False, False]
    assert entries[0].no_change == ("alles ist gleich",)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("gleich", "no_change is 'gleich', not a list of sentences"),
        ([3], "no_change: 3 is no sentence"),
        (["..."], "no_change: '...' is no sentence"),
        ({"a": 1}, "not a list of sentences"),
    ],
)
def test_what_names_no_sentence_is_refused(
    named: Any, reason: str, tmp_path: Path
) -> None:
    content = {"images": [entry(0)], "no_change": named}
    (tmp_path / "LevirCCcaptions.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=reason):
        read_captions(tmp_path)


def test_an_empty_sentence_of_no_change_is_the_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "LevirCCcaptions.json").write_text(json.dumps({"images": [entry(0)]}))
    with pytest.raises(SettingsError, match=r"no_change: '\.' is no sentence"):
        read_captions(tmp_path, no_change=["."])


def test_the_sentences_of_all_splits_are_learnt(tmp_path: Path) -> None:
    images = [entry(n, sentence="alles gleich", changeflag=0) for n in range(2)]
    images.append(entry(2, "test", sentence="ein weg", changeflag=1))
    (tmp_path / "LevirCCcaptions.json").write_text(json.dumps({"images": images}))
    (found,) = read_captions(tmp_path, splits=["test"])
    assert found.no_change == ("alles gleich",)


def dubai(number: int, split: str, sentences: list[str]) -> dict[str, Any]:
    listed = [
        {
            "image_id": number,
            "sentence_id": 5 * number + at,
            "raw": text,
            "tokens": text.split(),
        }
        for at, text in enumerate(sentences)
    ]
    return {
        "filename": f"{number}x1.tif",
        "sentences": listed,
        "split": split,
        "image_id": number,
    }


def test_the_layout_of_dubai_cc(tmp_path: Path) -> None:
    same = [
        "Nothing has changed.",
        "There is no difference.",
        "A Lower-Left road appears.",
    ]
    new = ["Nothing has changed.", "A road appears.", "Houses appear."]
    write(tmp_path, [dubai(0, "train", same)], "Train_Dubai_CC.json")
    write(tmp_path, [dubai(0, "val", new)], "Validation_Dubai_CC.json")
    write(
        tmp_path,
        [dubai(0, "test", ["No changes.", "A road appears."])],
        "Test_Dubai_CC.json",
    )
    pairs = {pair.split: pair for pair in read_dataset(tmp_path)}
    assert pairs["train"].captions[0] == ("nothing", "has", "changed")
    assert pairs["train"].captions[2] == ("a", "lower-left", "road", "appears")
    assert pairs["train"].before == tmp_path / "images" / "train" / "A" / "0x1.tif"
    assert {split: pair.changed for split, pair in pairs.items()} == {
        "train": False,
        "val": True,
        "test": True,
    }


@needs_shared
def test_dubai_cc_itself() -> None:
    sizes, changed = Counter[str](), 0
    for file in sorted((SHARED / "captions").glob("*_Dubai_CC.json")):
        for item in read_captions(file):
            sizes[item.split] += 1
            changed += item.changed is True
            assert len(item.captions) == 5
            assert all(
                word == word.lower() and word[-1] != "."
                for words in item.captions
                for word in words
            )
    assert sizes == {"train": 300, "val": 50, "test": 150}
    assert changed == 327


@needs_shared
def test_levir_cc_itself() -> None:
    file = SHARED / "captions" / "LevirCCcaptions_all.json"
    entries = read_captions(file)
    assert Counter(item.split for item in entries) == {
        "train": 6815,
        "val": 1333,
        "test": 1929,
    }
    assert sum(item.changed is True for item in entries) == 5038
    images = json.loads(file.read_text())["images"]
    told = [
        tuple(tuple(sentence["tokens"]) for sentence in image["sentences"])
        for image in images
    ]
    assert [
        item.captions for item in entries
    ] == told  # its words are taken as they are
    assert max(len(words) for captions in told for words in captions) == 39
    pairs = read_dataset(SHARED / "levir_cc")
    assert Counter(pair.split for pair in pairs) == {
        "train": 559,
        "val": 62,
        "test": 63,
    }
    assert all(pair.before.is_file() and pair.after.is_file() for pair in pairs)


# --- which caption file


def test_the_only_caption_file_of_any_name(tmp_path: Path) -> None:
    write(tmp_path, [entry(0)], "mine.json")
    (tmp_path / "notes.json").write_text('{"author": "me"}')
    assert len(read_dataset(tmp_path)) == 1


def test_several_caption_files_are_ambiguous(tmp_path: Path) -> None:
    write(tmp_path, [entry(0)], "a.json")
    write(tmp_path, [entry(0)], "b.json")
    with pytest.raises(
        DataError, match=r"several caption files: give one of \['a\.json', 'b\.json'\]"
    ):
        read_captions(tmp_path)
    assert len(read_captions(tmp_path / "a.json")) == 1


def test_no_caption_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no caption file \(LevirCCcaptions\.json"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match="nowhere: it does not exist; give"):
        read_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '{"images": [\n  {"filename": }]}',
            "broken JSON: it is wrong at line 2, column 16",
        ),
        ("[]", 'no list "images"'),
        ('{"images": {}}', 'no list "images"'),
        ('{"images": []}', 'the list "images" is empty'),
        ("", "broken JSON: it is empty"),
        ("[" * 100_000, "broken JSON: it is nested deeper than"),
        (
            '{"images": ' + "[" * 500 + "]" * 500 + "}",
            "broken JSON: it is nested deeper than",
        ),
        (
            '{"images": [{"imgid": ' + "9" * 5000 + "}]}",
            "broken JSON: it holds a number of thousands of digits",
        ),
    ],
    ids=range(8),
)
def test_files_that_are_no_caption_files(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "LevirCCcaptions.json").write_text(text)
    with pytest.raises(
        DataError, match=rf"1 problem:\n  LevirCCcaptions\.json: {reason}"
    ):
        read_captions(tmp_path)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(
        json.dumps({"images": [entry(0)]}), encoding="utf-8-sig"
    )
    assert len(read_captions(tmp_path)) == 1


# --- problems in entries

WRONG: list[tuple[Any, str]] = [
    ("x", "an entry is an object with filename, split and sentences, not 'x'"),
    (entry(1, filename=...), "key 'filename' is missing"),
    (entry(1, filename=7), "filename 7 is not the plain name of a file"),
    (entry(1, filename="../x.png"), "filename '../x.png' is not the plain name"),
    (entry(1, filename="sub/x.png"), "filename 'sub/x.png' is not the plain name"),
    (entry(1, filepath="../.."), "filepath '../..' is not a folder below images"),
    (entry(1, filepath="/etc"), "filepath '/etc' is not a folder below images"),
    (entry(1, split=...), "key 'split' is missing"),
    (entry(1, split="trian"), "unknown split 'trian': did you mean 'train'?"),
    (entry(1, split=[1], filepath="train"), "unknown split [1]"),
    (entry(1, sentences=...), "key 'sentences' is missing"),
    (entry(1, sentences=[]), "it has no sentences"),
    (entry(1, sentences=None), "it has no sentences"),
    (
        entry(1, sentences=[{"raw": "a road"}]),
        "sentence 0 has no 'tokens' that are a list of strings: None",
    ),
    (entry(1, sentences=["a road"]), "sentence 0 has no 'tokens'"),
    (
        entry(1, sentences=[{"tokens": "a road"}]),
        "sentence 0 has no 'tokens' that are a list of strings: 'a road'",
    ),
    (
        entry(1, sentences=[{"tokens": [1]}]),
        "sentence 0 has no 'tokens' that are a list of strings: [1]",
    ),
    (
        entry(1, sentences=[{"tokens": ["a"]}, {"tokens": []}]),
        "sentence 1 has no words",
    ),
    (entry(1, sentences=[{"tokens": ["."]}]), "sentence 0 has no words"),
    (
        entry(1, sentences=[{"tokens": ["a road"]}]),
        "a token is one word without white space, control characters and halves of "
        "surrogate pairs; 'a road' is not",
    ),
    (entry(1, changeflag=2), "changeflag must be 0 or 1, not 2"),
    (entry(1, changeflag="1"), "changeflag must be 0 or 1, not '1'"),
    (entry(1, imgid=0), "imgid 0 is taken already, by images[0] (train_000000.png)"),
    (entry(1, imgid=[0]), "imgid [0] is neither a number nor a string"),
    (
        entry(1, sentences=[{"tokens": ["a"], "sentid": 1}]),
        "sentid 1 is taken already, by images[0]",
    ),
    (
        entry(1, filename="train_000000.png"),
        "there is an image train_000000 in train already, at Levir",
    ),
    (
        entry(1, filename="train_000000.jpg"),
        "there is an image train_000000 in train already, at Levir",
    ),
]


DEEP: Any = []
for _ in range(20):
    DEEP = [DEEP]
HUGE = int("9" * 1000)
HALF = "\ud800"
ODD: list[tuple[Any, str]] = [
    (
        entry(1, filename=f"{HALF}.png"),
        r"filename '\ud800.png' is not the plain name of a file",
    ),
    (
        entry(1, filename="a\nb.png"),
        r"filename 'a\nb.png' is not the plain name of a file",
    ),
    (
        entry(1, filename="\x1b[31m.png"),
        r"filename '\x1b[31m.png' is not the plain name of a file",
    ),
    (entry(1, filename="a\0.png"), "is not the plain name of a file"),
    (entry(1, filename="x" * 300 + ".png"), "is not the plain name of a file"),
    (entry(1, filename="x" * 1_000_000), "is not the plain name of a file"),
    (
        entry(1, filename=HUGE),
        "filename a number of more than 30 digits is not the plain name",
    ),
    (entry(1, filename=DEEP), "is not the plain name of a file"),
    (entry(1, filename=".."), "is not the plain name of a file"),
    (entry(1, filepath=HALF), r"filepath '\ud800' is not a folder below images"),
    (entry(1, filepath="a\nb"), "is not a folder below images"),
    (entry(1, filepath=HUGE), "is not a folder below images"),
    (entry(1, filepath=None), "filepath None is not a folder below images"),
    (
        entry(1, split=HALF, filepath="train", filename="b.png"),
        r"unknown split '\ud800'",
    ),
    (
        entry(1, split=HUGE, filepath="train", filename="b.png"),
        "unknown split a number of more than 30 digits",
    ),
    (entry(1, split=DEEP, filepath="train"), "unknown split [["),
    (
        entry(1, split="x" * 1_000_000, filepath="train", filename="b.png"),
        "unknown split 'xxx",
    ),
    (entry(1, sentences=[{"tokens": ["a", HALF]}]), r"'\ud800' is not"),
    (entry(1, sentences=[{"tokens": ["a", "b\x00c"]}]), r"'b\x00c' is not"),
    (entry(1, sentences=[{"tokens": ["a", "\x1b[31mred"]}]), r"'\x1b[31mred' is not"),
    (entry(1, sentences=[{"tokens": ["a\nb"]}]), r"'a\nb' is not"),
    (
        entry(1, sentences=[{"tokens": ["a"] * 100_000}]),
        "has 100,000 words; a caption has at most 1,000",
    ),
    (
        entry(1, sentences=[{"tokens": [HUGE]}]),
        "has no 'tokens' that are a list of strings: [",
    ),
    (entry(1, sentences=[{"tokens": [float("nan")]}]), "a list of strings: [nan]"),
    (entry(1, sentences=[{"tokens": DEEP}]), "a list of strings: [["),
    (entry(1, sentences=[{"tokens": {"a": 1}}]), "a list of strings: {'a': 1}"),
    (entry(1, sentences=DEEP), "sentence 0 has no 'tokens'"),
    (entry(1, sentences={"a": 1}), "it has no sentences"),
    (entry(1, sentences=HUGE), "it has no sentences"),
    (
        entry(1, changeflag=HUGE),
        "changeflag must be 0 or 1, not a number of more than 30 digits",
    ),
    (entry(1, changeflag=float("nan")), "changeflag must be 0 or 1, not nan"),
    (entry(1, changeflag=float("inf")), "changeflag must be 0 or 1, not inf"),
    (entry(1, changeflag=DEEP), "changeflag must be 0 or 1, not [["),
    (entry(1, changeflag=None), "changeflag must be 0 or 1, not None"),
    (entry(1, imgid=float("nan")), "imgid nan is neither a number nor a string"),
    (entry(1, imgid=DEEP), "is neither a number nor a string"),
    (
        HUGE,
        "an entry is an object with filename, split and sentences, not a number of "
        "more than 30 digits",
    ),
    (DEEP, "an entry is an object"),
    (
        ["x"] * 1_000_000,
        "an entry is an object with filename, split and sentences, not a list of "
        "1,000,000",
    ),
]
WRONG += ODD


@pytest.mark.parametrize("imgid", [HUGE, -1, "\ud800", 2.0**60])
def test_odd_ids_are_only_ids(tmp_path: Path, imgid: Any) -> None:
    (tmp_path / "LevirCCcaptions.json").write_text(
        json.dumps({"images": [entry(0, imgid=imgid)]})
    )
    if isinstance(imgid, float):
        with pytest.raises(DataError, match="neither a number nor a string"):
            read_captions(tmp_path)
    else:
        assert len(read_captions(tmp_path)) == 1


def test_a_pipe_is_no_caption_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "LevirCCcaptions.json")
    for path in (tmp_path, tmp_path / "LevirCCcaptions.json"):
        with pytest.raises(DataError, match="it is a pipe"):
            read_captions(path)


@pytest.mark.parametrize(
    ("image", "reason"),
    WRONG,
    ids=[f"{n} {reason[:25]}" for n, (_, reason) in enumerate(WRONG)],
)
def test_each_problem_is_told_with_file_and_entry(
    tmp_path: Path, image: Any, reason: str
) -> None:
    (tmp_path / "LevirCCcaptions.json").write_text(
        json.dumps({"images": [entry(0), image]})
    )
    begin = time.perf_counter()
    with pytest.raises(
        DataError, match=r"has 1 problem:\n  LevirCCcaptions\.json: images\[1\]"
    ) as caught:
        read_captions(tmp_path)
    assert time.perf_counter() - begin < 5
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\ud800" not in str(caught.value)


def test_all_problems_are_told_at_once_and_the_first_twenty_shown(
    tmp_path: Path,
) -> None:
    images = [
        entry(0),
        *(entry(n, sentences=[]) for n in range(1, 13)),
        *(entry(n, split="x") for n in range(13, 26)),
    ]
    (tmp_path / "LevirCCcaptions.json").write_text(json.dumps({"images": images}))
    with pytest.raises(DataError, match=r"has 25 problems:") as caught:
        read_dataset(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 20 + 2
    assert "images[1] (train_000001.png): it has no sentences" in lines[1]
    assert "images[20] (x_000020.png): unknown split 'x'" in lines[20]
    assert lines[21] == "  … and 5 more"
    assert "sencap check" in lines[22]


def test_missing_images_are_told_all_at_once_but_only_those_asked_for(
    tmp_path: Path,
) -> None:
    write(tmp_path, [entry(0), entry(1), entry(2, "val")])
    (tmp_path / "images" / "train" / "A" / "train_000000.png").unlink()
    (tmp_path / "images" / "train" / "B" / "train_000001.png").unlink()
    with pytest.raises(DataError, match=r"has 2 problems:") as caught:
        read_dataset(tmp_path)
    told = str(caught.value)
    assert "images[0] (train_000000.png): image A is missing: looked in" in told
    assert "images[1] (train_000001.png): image B is missing: looked in" in told
    assert len(read_dataset(tmp_path, splits=["val"])) == 1
    assert len(read_captions(tmp_path)) == 3


def test_a_flag_against_its_captions_does_not_stop_reading(tmp_path: Path) -> None:
    write(tmp_path, [entry(0, sentence=SAME, changeflag=1)])
    assert read_dataset(tmp_path)[0].changed
