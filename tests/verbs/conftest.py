"""What the tests of the verbs share: tiny weights, and own copies of pairs, which a
wrong output would destroy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sencap import ModelSettings
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import Vocabulary
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.variants import build

FULL = Path("/dev/full")  # a disk without room


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes seconds, and is not the matter here."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)


@pytest.fixture
def weights(tmp_path: Path, tiny_data: Path, tiny_model: ModelSettings) -> Path:
    """A checkpoint folder with random weights."""
    captions = [words for entry in read_captions(tiny_data) for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    torch.manual_seed(0)
    captioner = build(tiny_model, len(vocabulary)).eval()
    return save_checkpoint(
        tmp_path / "weights", Checkpoint(captioner, vocabulary, tiny_model, {})
    )


@pytest.fixture
def own(tmp_path: Path, tiny_data: Path) -> Path:
    """A user's own copy of the tiny data set."""
    return Path(shutil.copytree(tiny_data, tmp_path / "own"))


@pytest.fixture
def pair(own: Path) -> tuple[str, str]:
    """Two images that differ."""
    folder = own / "images" / "test"
    return str(folder / "A" / "test_000002.png"), str(folder / "B" / "test_000002.png")


@pytest.fixture
def no_room(tmp_path: Path) -> Callable[[str], Path]:
    """A file of the name given that cannot be written, since its disk is full."""
    if not FULL.exists():
        pytest.skip("needs /dev/full, which this system lacks")

    def link(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(FULL)
        return path

    return link


@pytest.fixture
def report(tmp_path: Path) -> Callable[[str], Path]:
    """A file that looks like a report; whoever reads it finds out that it is none."""

    def write(name: str) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"pairs": []}))
        return path

    return write


def everything_below(folder: Path) -> dict[str, bytes]:
    """The content of all files below a folder, by their place in it."""
    files = [
        Path(where) / name for where, _, names in os.walk(folder) for name in names
    ]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if file.is_file()
    }
