"""The check of a data set: all that is wrong is found in one go, and nothing in a sound
one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sencap.cli import main
from sencap.data.check import CheckReport, check_dataset
from sencap.errors import DataError


def entry(
    number: int, split: str = "train", flag: int = 1, text: str = "a road is built"
) -> dict[str, Any]:
    sentences = [{"tokens": text.split(), "sentid": number}]
    return {
        "filepath": split,
        "filename": f"{number}.png",
        "imgid": number,
        "split": split,
        "changeflag": flag,
        "sentences": sentences,
    }


def place(root: Path, number: int, date: str, split: str = "train") -> Path:
    return root / "images" / split / date / f"{number}.png"


def make(root: Path, images: list[dict[str, Any]]) -> Path:
    """A data set of these entries with sound 32×32 images."""
    rng = np.random.default_rng(0)
    (root / "LevirCCcaptions.json").write_text(json.dumps({"images": images}))
    for image in images:
        for date in "AB":
            file = root / "images" / image["filepath"] / date / image["filename"]
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
                file
            )
    return root


def check(root: Path, *, images: bool = True) -> CheckReport:
    return check_dataset(root, images=images, progress=False)


def test_a_sound_data_set(tmp_path: Path) -> None:
    nothing = "there is no difference"
    images = [entry(0), entry(1, "val"), entry(2, "train", 0, nothing)]
    for image in images:
        image["sentences"] = [{"tokens": image["sentences"][0]["tokens"]}] * 6
    report = check(make(tmp_path, images))
    assert report.ok
    assert report.problems == ()
    assert report.counts == {
        "train": 2, "val": 1, "test": 0, "pairs": 3, "captions": 18, "changed": 2, "unchanged": 1, "unknown": 0  # noqa: E501
    }  # fmt: skip
    assert str(report) == (
        f"{tmp_path}: 3 pairs (2 train, 1 val, 0 test), 18 captions, 2 changed, 1 "
        "unchanged\nvocabulary.minimum_count 6: 7 of 7 different words known, 0.0 % "
        "of all words unknown\nvocabulary.minimum_count 1: 7 of 7 different words "
        "known, 0.0 % of all words unknown\n0 errors, 0 warnings\ncan be used for: "
        "training and evaluation (train, val)"
    )


@pytest.mark.parametrize(
    ("splits", "use"),
    [
        (["train", "val"], "training and evaluation (train, val)"),
        (["train", "val", "test"], "training and evaluation (train, val, test)"),
        (
            ["test"],
            "evaluation (test); not for training: no pairs of split 'train' and 'val'",
        ),
        (
            ["val", "test"],
            "evaluation (val, test); not for training: no pairs of split 'train'",
        ),
        (
            ["train", "test"],
            "evaluation (train, test); not for training: no pairs of split 'val', "
            "unless --selection-data names another data set for it",
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_the_last_line_says_what_the_set_can_be_used_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], splits: list[str], use: str
) -> None:
    """As `train` does: it refuses a set without train or val, and `check` is used for
    test sets too."""
    make(tmp_path, [entry(number, split) for number, split in enumerate(splits)])
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"can be used for: {use}"


def test_a_set_with_errors_can_be_used_for_nothing(tmp_path: Path) -> None:
    images = [entry(0), entry(1, "val")]
    images[1]["sentences"] = []
    assert str(check(make(tmp_path, images))).endswith(
        "can be used for: nothing yet; mend the errors first"
    )


def told(report: CheckReport) -> list[str]:
    """What the warnings say of the data set as a whole."""
    return [problem.what for problem in report.warnings if not problem.entry]


@pytest.mark.parametrize(("flag", "absent"), [(1, "unchanged"), (0, "changed")])
def test_a_set_of_one_kind_is_warned_of(tmp_path: Path, flag: int, absent: str) -> None:
    report = check(
        make(
            tmp_path,
            [
                entry(0, flag=flag, text="so it is"),
                entry(1, flag=flag, text="so it is"),
            ],
        )
    )
    assert f"there is no {absent} pair" in told(report)
    assert report.ok


def test_flags_that_are_not_known_are_warned_of(tmp_path: Path) -> None:
    images = [entry(0, text="ein weg"), entry(1, text="alles gleich")]
    for image in images:
        del image["changeflag"]
    report = check(make(tmp_path, images))
    assert any(
        what.startswith("it is not known which pairs changed (2 of 2)")
        for what in told(report)
    )
    assert (
        report.counts["changed"],
        report.counts["unchanged"],
        report.counts["unknown"],
    ) == (
        0,
        0,
        2,
    )
    assert "0 changed, 0 unchanged, 2 not known" in str(report)
    assert report.ok


def test_a_split_that_rests_on_known_sentences_alone_is_warned_of(
    tmp_path: Path,
) -> None:
    """One pair uses LEVIR-CC's words, another its own, so that it counts as changed:
    who reads the counts has to know, unless the sentences were named."""
    texts = ["there is no difference", "both pictures are alike", "a road is built"]
    images = [entry(number, text=text) for number, text in enumerate(texts)]
    for image in images:
        del image["changeflag"]
    make(tmp_path, images)
    report = check(tmp_path, images=False)
    assert (report.counts["changed"], report.counts["unchanged"]) == (2, 1)
    assert any(
        what.startswith(
            "whether a pair changed is told from its sentences for 3 of 3 pairs"
        )
        for what in told(report)
    )
    named = check_dataset(
        tmp_path, images=False, no_change=["Both pictures are alike."]
    )
    assert (named.counts["changed"], named.counts["unchanged"]) == (1, 2)
    assert not any("told from its sentences" in what for what in told(named))


def test_the_verb_takes_sentences_of_no_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [entry(0, text="ein weg"), entry(1, text="alles gleich")]
    for image in images:
        del image["changeflag"]
    make(tmp_path, images)
    flags = ["--captions-only", "--no-change", "alles gleich", "nichts neues"]
    assert main(["check", str(tmp_path), *flags]) == 0
    assert "1 changed, 1 unchanged" in capsys.readouterr().out


def test_flags_against_other_words_of_no_change_are_not_doubted(tmp_path: Path) -> None:
    """Its annotators say "no change" in ways of their own, some of them once: that
    contradicts no flag."""
    texts = [
        ("ein weg", 1),
        ("alles gleich", 0),
        ("alles gleich", 0),
        ("nichts neues", 0),
        ("ein see", 1),
    ]
    images = [
        entry(number, flag=flag, text=text) for number, (text, flag) in enumerate(texts)
    ]
    report = check(make(tmp_path, images), images=False)
    assert [problem.what for problem in report.problems if problem.entry] == []
    images[2]["sentences"] = [{"tokens": ["ein", "weg"]}]
    (tmp_path / "LevirCCcaptions.json").write_text(json.dumps({"images": images}))
    report = check(tmp_path, images=False)
    assert [problem.what for problem in report.problems if problem.entry] == [
        "changeflag is 0, but most of its sentences tell of a change"
    ]


def test_long_captions_and_rare_words_are_counted(tmp_path: Path) -> None:
    words = " ".join(f"w{number}" for number in range(51))
    report = check(make(tmp_path, [entry(0, text=words), entry(1, text="a b")]))
    assert (
        "1 captions are longer than decoder.max_words (50, the default), and training cuts them"
        in told(report)
    )
    assert any(
        "would know 0 of 53 different words known, 100.0 %" in what
        for what in told(report)
    )
    assert report.coverage[1].known == 53


def test_everything_is_found_at_once(tmp_path: Path) -> None:
    images = [entry(number) for number in range(9)]
    make(tmp_path, images)
    place(tmp_path, 0, "A").unlink()
    whole = place(tmp_path, 1, "B").read_bytes()
    place(tmp_path, 1, "B").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (40, 33)).save(place(tmp_path, 2, "B"))
    images[3]["sentences"] = []
    images[4]["split"] = "trian"
    images[5]["imgid"] = 3
    images[7]["changeflag"] = 0
    images[8]["filename"] = "7.png"
    tifffile.imwrite(
        place(tmp_path, 6, "A"), np.full((32, 32, 3), 500, np.uint16), photometric="rgb"
    )
    place(tmp_path, 3, "A").write_text("no image")
    (tmp_path / "LevirCCcaptions.json").write_text(json.dumps({"images": images}))

    report = check(tmp_path)
    told = [
        (problem.entry.removeprefix("LevirCCcaptions.json: "), problem.what)
        for problem in report.errors
    ]
    wanted = [
        ("images[3] (3.png)", "it has no sentences"),
        ("images[4] (4.png)", "unknown split 'trian': did you mean 'train'?"),
        ("images[5] (5.png)", "imgid 3 is taken already, by images[3] (3.png)"),
        ("images[8] (7.png)", "there is an image 7 in train already"),
        ("images[0] (0.png)", "image A is missing: looked in"),
        ("images[1] (1.png)", "it is cut off: it ends before its last chunk"),
        ("images[2] (2.png)", "the two images differ in size"),
        ("images[3] (3.png)", "by its content it is no PNG"),
        ("images[6] (6.png)", "there is no common scale"),
    ]
    for place_, what in wanted:
        assert any(place_ == where and what in text for where, text in told), (
            place_,
            what,
            told,
        )
    assert len(told) == len(wanted)
    assert not report.ok
    warned = {(Path(problem.file).name, problem.what) for problem in report.warnings}
    assert {
        (
            "LevirCCcaptions.json",
            "changeflag is 0, but most of its sentences tell of a change",
        ),
        ("8.png", "no entry names it"),
    } <= warned
    text = str(report)
    assert (
        f"error: {place(tmp_path, 1, 'B')}: LevirCCcaptions.json: images[1] (1.png): it is cut off"
        in text
    )
    assert "9 errors, 3 warnings" in text


def test_a_sentence_id_twice(tmp_path: Path) -> None:
    images = [entry(0), entry(1)]
    images[1]["sentences"][0]["sentid"] = 0
    report = check(make(tmp_path, images))
    assert [problem.what for problem in report.errors] == [
        "sentid 0 is taken already, by images[0] (0.png)"
    ]


def test_images_may_be_left_alone(tmp_path: Path) -> None:
    make(tmp_path, [entry(0)])
    place(tmp_path, 0, "A").unlink()
    place(tmp_path, 0, "B").write_text("no image")
    assert check(tmp_path, images=False).ok
    assert len(check(tmp_path).errors) == 2


def test_broken_json_is_a_problem_with_its_place(tmp_path: Path) -> None:
    make(tmp_path, [entry(number) for number in range(3)])
    (tmp_path / "LevirCCcaptions.json").write_text('{"images": [\n{"filename" 1}]}')
    report = check(tmp_path)  # and says nothing of images that no entry could name
    assert [str(problem) for problem in report.problems] == [
        "LevirCCcaptions.json: broken JSON: it is wrong at line 2, column 13, near "
        "'1}]}'"
    ]
    assert report.counts["pairs"] == 0


def test_no_caption_file_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no caption file"):
        check(tmp_path)


def test_images_named_under_another_suffix_count_as_named(tmp_path: Path) -> None:
    make(tmp_path, [entry(0)])
    for date in "AB":
        place(tmp_path, 0, date).rename(place(tmp_path, 0, date).with_suffix(".PNG"))
    assert check(tmp_path).ok
    assert not any(
        "no entry names it" in problem.what for problem in check(tmp_path).problems
    )


def test_the_bar_is_on_stderr_and_can_be_turned_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, [entry(0)])
    check_dataset(tmp_path)
    shown = capsys.readouterr()
    assert "images: 100%" in shown.err
    assert shown.out == ""
    check(tmp_path)
    assert capsys.readouterr().err == ""


def mask_of(root: Path, number: int, pixels: np.ndarray) -> Path:
    file = root / "images" / "train" / "label" / f"{number}.png"
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(file)
    return file


def test_masks_are_counted_and_checked(tmp_path: Path) -> None:
    root = make(tmp_path, [entry(number) for number in range(4)])
    mask_of(root, 0, np.zeros((32, 32), np.uint8))
    report = check(root)
    assert (report.masks, report.errors) == (1, ())
    assert "1 pairs have a change mask" in str(report)
    small = mask_of(root, 1, np.zeros((40, 32), np.uint8))
    grey = mask_of(root, 2, np.full((32, 32), 77, np.uint8))
    report = check(root)
    assert report.masks == 3
    told = {problem.file: problem.what for problem in report.errors}
    assert told[str(small)] == "the mask is 32×40 pixels, and its images are 32×32"
    assert "holds 77; a mask holds 0" in told[str(grey)]
    assert check(root, images=False).masks is None
