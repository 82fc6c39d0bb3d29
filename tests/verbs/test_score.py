"""`sencap score`: captions made elsewhere are scored as `sencap evaluate` scores its
own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sencap import evaluate, score
from sencap.cli import main
from sencap.data.importing.predictions import read_predictions
from sencap.data.levir_cc import read_captions
from sencap.errors import DataError, SettingsError
from sencap.evaluation.report import as_json


@pytest.fixture
def captions(own: Path, tmp_path: Path) -> Path:
    """The first reference of every pair of the test split, as somebody's captions."""
    entries = read_captions(own, splits=["test"])
    said = {entry.name: " ".join(entry.captions[0]) for entry in entries}
    file = tmp_path / "captions.json"
    file.write_text(json.dumps(said))
    return file


def test_a_report_scored_again_has_the_figures_of_evaluate(
    weights: Path, own: Path, tmp_path: Path
) -> None:
    report = evaluate(own, weights=weights)
    file = tmp_path / "report.json"
    file.write_text(as_json(report))
    again = score(file, own, vocabulary=weights)
    for key in (
        "ids",
        "words",
        "reference_rows",
        "change_accuracy",
        "confusion",
        "intervals",
    ):
        assert again[key] == report[key], key
    mine, theirs = again["signatures"]["ids"], report["signatures"]["ids"]
    assert mine == theirs.replace(
        "beam:3|decision:probability", "beam:unknown|decision:unknown"
    )


def test_the_words_of_the_data_set_give_the_ids_where_no_vocabulary_is_named(
    captions: Path, own: Path
) -> None:
    report = score(captions, own)
    assert report["words"]["all"]["BLEU-4"] == pytest.approx(100)
    assert report["ids"]["all"]["BLEU-4"] == pytest.approx(100)
    assert report["change_accuracy"] == 1
    assert any(note.startswith("The ids are those of the ") for note in report["notes"])


def test_it_prints_the_report_and_writes_what_is_asked_for(
    captions: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {name: tmp_path / name for name in ("a.json", "a.md", "a.html")}
    flags = [
        f"--{flag}={path}"
        for flag, path in zip(
            ("json", "markdown", "page"), outputs.values(), strict=True
        )
    ]
    assert main(["score", str(captions), "--data", str(own), *flags]) == 0
    printed = capsys.readouterr().out
    assert "constant sentence" in printed
    assert "beam:unknown" in printed
    assert outputs["a.md"].read_text() == printed
    assert json.loads(outputs["a.json"].read_text())["change_accuracy"] == 1
    assert "a house appears" in outputs["a.html"].read_text()


def test_no_image_is_needed(captions: Path, own: Path) -> None:
    caption_file = (own / "LevirCCcaptions.json").rename(
        captions.with_name("alone.json")
    )
    assert score(captions, caption_file)["change_accuracy"] == 1


@pytest.mark.parametrize("flag", ["json", "markdown"])
def test_no_output_replaces_an_input(flag: str, captions: Path, own: Path) -> None:
    for there in (captions, own / "LevirCCcaptions.json"):
        before = there.read_bytes()
        with pytest.raises(SettingsError, match="is the input"):
            score(captions, own, **{flag: there})  # type: ignore[arg-type]
        assert there.read_bytes() == before


def test_neither_a_model_nor_an_engine_is_loaded(captions: Path, own: Path) -> None:
    program = (
        "import shutil, sys; shutil.which = lambda *_, **__: None\nfrom sencap "
        "import score\nscore(sys.argv[1], sys.argv[2])\nprint([name for name in "
        "('torch', 'onnxruntime', 'onnx') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, str(captions), str(own)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_evaluate_tells_where_captions_made_elsewhere_are_scored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", "--help"]) == 0
    assert "Captions made elsewhere are scored by sencap score" in " ".join(
        capsys.readouterr().out.split()
    )


def test_captions_beyond_any_data_sets_are_refused_by_their_size(
    tmp_path: Path,
) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text('{"a.png": "' + "a house " * 1_100_000 + '"}', encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(DataError, match="give a file of captions"):
        read_predictions(captions)
    assert time.monotonic() - began < 5
