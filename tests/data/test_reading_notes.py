"""What has to be known of how a data set's images are read is told by whatever reads
many."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from sencap.data.check import check_dataset
from sencap.data.levir_cc import read_dataset
from sencap.data.reading import read_images
from sencap.images.notes import Notes
from tiny_rasters import Write, ramp, write

__all__ = ["write"]  # a fixture


@pytest.fixture
def placed(tmp_path: Path, write: Write) -> Path:
    """Three pairs with a georeference: the same ground, half of it, none of it."""
    entries = []
    for number, left in enumerate((0, 40, 1000)):
        name = f"place {number}.tif"
        sentences = [{"tokens": ["nothing", "changed"]}]
        entry = {
            "filename": name,
            "split": "train",
            "changeflag": 0,
            "sentences": sentences,
        }
        entries.append(entry)
        for date, moved in (("A", 0), ("B", left)):
            folder = tmp_path / "images" / "train" / date
            folder.mkdir(parents=True, exist_ok=True)
            write(str(folder / name), ramp(left=moved % 200), left=moved)
    (tmp_path / "captions.json").write_text(json.dumps({"images": entries}))
    return tmp_path


def test_check_looks_at_pairs_as_they_will_be_read(placed: Path) -> None:
    report = check_dataset(placed, progress=False)
    (error,) = report.errors
    assert "have no ground in common" in error.what
    assert "place 2.tif" in error.entry
    told = [problem.what for problem in report.warnings]
    assert any(
        "Of 1 of the 3 pairs, as of place 1.tif: they share 60×100" in one
        for one in told
    )


def test_check_tells_of_both_files_where_both_are_damaged(placed: Path) -> None:
    for date in "AB":
        (placed / "images" / "train" / date / "place 0.tif").write_bytes(b"II*\0")
    report = check_dataset(placed, progress=False)
    files = [error.file for error in report.errors if "place 0" in error.entry]
    assert len(files) == 2


def test_training_tells_each_kind_of_note_once(
    placed: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sencap.data.reading._told", Notes())
    pair = read_dataset(placed)[1]
    with caplog.at_level(logging.WARNING, logger="sencap"):
        first, again = (read_images(pair, 32).images for _ in range(2))
    np.testing.assert_array_equal(first, again)
    (said,) = [
        record.message for record in caplog.records if "they share" in record.message
    ]
    assert said.startswith("warning: place 1.tif, and perhaps other pairs: ")
