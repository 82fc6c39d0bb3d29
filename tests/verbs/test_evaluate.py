"""`sencap evaluate` and its like from Python: numbers within bounds, and warnings that
a reader needs."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sencap import compare, demo, evaluate, info, score
from sencap.cli import main
from sencap.data.levir_cc import read_captions, read_dataset
from sencap.errors import SettingsError
from sencap.evaluating import _notes_of, official_split_notes
from sencap.evaluation.compare import comparison_as_markdown
from sencap.evaluation.report import as_json, report_as_markdown
from sencap.reporting import write_report_page
from sencap.structures import Caption
from sencap.weights import SHIPPED

FORBIDDING = "Never evaluate them on LEVIR-CC's official test split.\n"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda own: evaluate(own, limit=-1), "limit is -1"),
        (lambda own: evaluate(own, limit=0), "limit is 0"),
        (lambda own: evaluate(own, batch_size=-1), "batch_size is -1"),
        (lambda own: evaluate(own, beam=0), "beam is 0"),
        (lambda own: evaluate(own, weights=""), "weights='' is empty"),
        (
            lambda own: evaluate(own, page=own / "page.pdf"),
            "page.pdf must end in .html",
        ),
        (lambda own: evaluate(own, page=own), "must end in .html"),
        (lambda own: demo(own / "demo", beam=0), "beam is 0"),
        (lambda own: demo(own / "demo", weights=" "), "weights=' ' is empty"),
        (lambda own: compare(own, own, resamples=-1), "resamples is -1"),
        (lambda own: compare(own, own, seed=-1), "seed is -1"),
        (lambda own: compare(own, own, metrics=[]), "metrics is empty"),
        (lambda _: info(vocabulary_size=-1), "vocabulary_size is -1"),
    ],
)
def test_numbers_and_empty_texts_from_python_are_refused(
    call: Callable[[Path], Any], message: str, own: Path
) -> None:
    with pytest.raises(SettingsError, match=message):
        call(own)
    assert not (own / "demo").exists()


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What sencap logs."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener = Listener()
    logging.getLogger("sencap").addHandler(listener)
    yield said
    logging.getLogger("sencap").removeHandler(listener)


def _call_it(data: Path, name: str | None) -> None:
    """Let a data set call itself by a name, or by none."""
    file = data / "LevirCCcaptions.json"
    content = json.loads(file.read_text())
    content.pop("dataset")
    if name is not None:
        content["dataset"] = name
    file.write_text(json.dumps(content))


def test_weights_evaluated_on_the_official_split_they_saw_draw_a_warning(
    weights: Path, own: Path, warnings: list[str]
) -> None:
    (weights / "README.md").write_text(FORBIDDING)
    _call_it(own, "LEVIR_CC")
    report = evaluate(own, weights=weights, limit=2)
    note = report["notes"][0]
    assert note.startswith(
        "2 of the 2 pairs have names of LEVIR-CC's official val or test split"
    )
    assert "test_000001.png" in note
    assert warnings == [f"warning: {note}"]
    assert f"- {note}" in report_as_markdown(report)


@pytest.mark.parametrize(
    ("card", "dataset", "names", "warned"),
    [
        (FORBIDDING, "LEVIR_CC", ["test_000123.png", "a.png"], True),
        (FORBIDDING, None, ["val_000001.jpg"], True),
        (
            SHIPPED / "README.md",
            "LEVIR-CC (recovered subset)",
            ["test_000001.jpg"],
            True,
        ),
        (
            FORBIDDING,
            "LEVIR_CC",
            ["train_000001.png", "mytest_000001.png", "test_1.png"],
            False,
        ),
        (FORBIDDING, "sencap-synthetic", ["val_000001.png"], False),
        (FORBIDDING, "our town", ["test_000001.png"], False),
        ("Trained on our town.\n", "LEVIR_CC", ["test_000001.png"], False),
        (None, "LEVIR_CC", ["test_000001.png"], False),
    ],
)
def test_the_warning_depends_on_card_data_set_and_names(
    card: str | Path | None,
    dataset: str | None,
    names: list[str],
    warned: bool,
    own: Path,
    tmp_path: Path,
) -> None:
    _call_it(own, dataset)
    weights = tmp_path / "checkpoint"
    weights.mkdir()
    if card is not None:
        text = card.read_text(encoding="utf-8") if isinstance(card, Path) else card
        (weights / "README.md").write_text(text, encoding="utf-8")
    notes = official_split_notes(weights, own, names)
    assert bool(notes) == warned


def test_synthetic_pairs_bear_the_same_names_and_draw_no_warning(
    tmp_path: Path,
) -> None:
    from sencap.synthetic import write_dataset

    data = write_dataset(tmp_path / "synthetic", pairs=10, workers=1, progress=False)
    assert official_split_notes(SHIPPED, data, ["test_000001.png"]) == []


def test_held_out_pairs_of_the_data_at_hand_draw_the_warning(shared: Path) -> None:
    notes = official_split_notes(SHIPPED, shared / "levir_cc", ["test_000001.jpg"])
    assert "held out from that training" in notes[0]


def _as_german(data: Path, flags: bool) -> None:
    """Let the data set say "no change" in German alone, with change flags or
    without."""
    file = data / "LevirCCcaptions.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        if not image["changeflag"]:
            for sentence in image["sentences"]:
                sentence["tokens"] = ["alles", "ist", "gleich"]
        if not flags:
            del image["changeflag"]
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("flags", "named", "judged"),
    [(True, None, True), (False, ["Alles ist gleich."], True), (False, None, False)],
    ids=["learnt", "named", "neither"],
)
def test_no_figure_of_change_rests_on_the_five_sentences_alone(
    flags: bool, named: list[str] | None, judged: bool, own: Path, tmp_path: Path
) -> None:
    """Captions that say "no change" as this data set does are told right, or none is
    judged."""
    _as_german(own, flags)
    said = tmp_path / "said.json"
    entries = read_captions(own, splits=["test"])
    said.write_text(
        json.dumps({one.name: " ".join(one.captions[0]) for one in entries})
    )
    report = score(said, own, no_change=named)
    assert report["change_accuracy"] == (1 if judged else None)
    assert (report["words"]["unchanged"]["BLEU-1"] is not None) == judged


def test_flags_told_from_known_sentences_alone_are_said(
    weights: Path, own: Path, warnings: list[str]
) -> None:
    file = own / "LevirCCcaptions.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        del image["changeflag"]
    file.write_text(json.dumps(content))
    notes = evaluate(own, weights=weights, limit=2)["notes"]
    start = "Whether a pair changed is told from its sentences for 2 of 2 pairs"
    assert any(note.startswith(start) for note in notes)
    assert any(start in said for said in warnings)


def test_no_unchanged_pair_is_a_warning(
    weights: Path, own: Path, warnings: list[str]
) -> None:
    file = own / "LevirCCcaptions.json"
    content = json.loads(file.read_text())
    content["images"] = [image for image in content["images"] if image["changeflag"]]
    file.write_text(json.dumps(content))
    evaluate(own, weights=weights)
    assert any(
        said.startswith("warning: There is no unchanged pair") for said in warnings
    )


def test_pairs_of_equal_images_are_counted_in_the_notes(
    weights: Path, own: Path
) -> None:
    report = evaluate(own, weights=weights)  # two of the four have equal images
    assert any(
        note.startswith("2 of the 4 pairs are of two equal images")
        for note in report["notes"]
    )
    said = {pair["filename"]: pair["hypothesis"] for pair in report["pairs"]}
    assert (
        said["test_000001.png"]
        == said["test_000003.png"]
        == "the scene is the same as before"
    )


def test_notes_on_single_captions_are_told_once_each_with_their_number() -> None:
    equal = "the two images are equal, pixel by pixel, at the model's 64 × 64 pixels"
    ignored = [
        f"data/{number}.tif: a no-data value of {number} is ignored" for number in "12"
    ]
    said = [equal, "", *ignored, *"abcdef"]
    captions = [Caption("x", 0.0, changed=True, note=note) for note in said]
    notes = _notes_of(captions, [f"pair {number}" for number in range(10)])
    assert notes[0].startswith("1 of the 10 pairs are of two equal images")
    assert notes[1] == f"Of 2 of the 10 pairs, as of pair 2: {ignored[0]}."
    assert notes[2] == "Of 1 of the 10 pairs, as of pair 4: a."
    assert notes[6].startswith("There are 2 other kinds of notes")
    assert _notes_of(captions[1:2], ["pair"]) == []


def test_a_page_that_fails_does_not_lose_the_report(
    weights: Path, own: Path, warnings: list[str], no_room: Callable[[str], Path]
) -> None:
    page = no_room("page.html")
    report = evaluate(own, weights=weights, limit=2, page=page)
    (problem,) = report["not_written"]
    assert problem.startswith(f"{page} cannot be written")
    assert warnings == [f"warning: the report is whole, but not written: {problem}"]
    assert len(report["pairs"]) == 2


def test_the_report_says_how_it_was_decided_and_not_what_was_asked_for(
    weights: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sencap.data.vocabulary.NO_CHANGE_SENTENCES", ("nichts geschah",) * 5
    )
    report = evaluate(own, weights=weights, limit=2)
    assert "decision:search" in report["signatures"]["ids"]


def test_the_page_says_what_its_figures_cannot_show(
    weights: Path, own: Path, tmp_path: Path
) -> None:
    """CIDEr of one pair is 0 by construction: said wherever it is printed."""
    page = tmp_path / "page.html"
    report = evaluate(own, weights=weights, limit=1, page=page)
    (note,) = (
        note for note in report["notes"] if note.startswith("CIDEr of all pairs")
    )
    assert note in html.unescape(page.read_text(encoding="utf-8"))


def test_the_page_shows_each_pair_with_its_own_figures_the_best_first(
    own: Path, tmp_path: Path
) -> None:
    pairs = read_dataset(own, splits=["train"])[:5]
    cider = [30.0, None, 90.0, 60.0, 10.0]
    report = {
        "pairs": [
            {
                "filename": pair.name,
                "hypothesis": f"caption {number}",
                "scores": {"words": {"CIDEr": score, "BLEU-4": 1000.0 + number}},
                "changed": True,
                "told_changed": number != 2,
            }
            for number, (pair, score) in enumerate(zip(pairs, cider, strict=True))
        ],
        "signatures": {"ids": "first signature"},
        "notes": ["a note"],
    }
    page = tmp_path / "page.html"
    write_report_page(page, pairs, report, each=2)
    text = html.unescape(page.read_text(encoding="utf-8"))
    shown = re.findall(
        r"<h2>(.*?)</h2>|caption (\d)|<b>(\S+)</b> CIDEr|<b>(\S+)</b> BLEU-4|(told right|but told)",
        text,
    )
    assert [next(filter(None, found)) for found in shown] == [
        "Best pairs",
        *("but told", "2", "90.0", "1002.0"), *("told right", "3", "60.0", "1003.0"),
        "Worst pairs",
        *("told right", "1", "–", "1001.0"), *("told right", "4", "10.0", "1004.0"),
        "Random pairs",
        *("told right", "0", "30.0", "1000.0"),
    ]  # fmt: skip
    assert text.index("first signature") < text.index("a note")


def test_compare_prints_the_table_and_writes_the_figures_that_the_function_returns(
    weights: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = evaluate(own, weights=weights)
    reports = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for path in reports:
        Path(path).write_text(as_json(report))
    written = tmp_path / "compared.json"
    flags = ["--metric", "rouge_l", "--protocol", "words", "--resamples", "100"]
    assert main(["compare", *reports, *flags, "--json", str(written)]) == 0
    found = compare(*reports, metrics=["ROUGE-L"], protocol="words", resamples=100)
    assert capsys.readouterr().out == comparison_as_markdown(found) + "\n"
    assert json.loads(written.read_text()) == found
    assert found["words"]["all"]["ROUGE-L"]["difference"] == 0
    assert "ids" not in found
