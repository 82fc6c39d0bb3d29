"""`sencap caption` reads each image once, and loads no model where none can be read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sencap import captioning, predictor
from sencap.cli import main
from sencap.images import read_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs."""
    generator = np.random.default_rng(0)
    for date, number in ((date, number) for date in "AB" for number in range(3)):
        path = tmp_path / "pairs" / date / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(image).save(path)
    return tmp_path / "pairs"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each pair is read."""
    found: Counter[str] = Counter()

    def counted(before: Path, after: Path, name: str = "", **settings: Any) -> Any:
        found[before.name] += 1
        return read_pair(before, after, name, **settings)

    monkeypatch.setattr(captioning, "read_pair", counted)
    return found


def test_nothing_is_read_twice(
    weights: Path, folder: Path, reads: Counter[str]
) -> None:
    (folder / "A" / "0.png").write_text("no image")
    # One is no image
    assert main(["caption", str(folder), "--weights", str(weights)]) == 2
    assert reads == {"0.png": 1, "1.png": 1, "2.png": 1}
    one = [str(folder / date / "1.png") for date in "AB"]
    assert main(["caption", *one, "--weights", str(weights)]) == 0
    assert reads["1.png"] == 2


@pytest.mark.parametrize("wrong", ["bands", "no images"])
def test_no_model_is_loaded_where_no_pair_can_be_read(
    wrong: str,
    weights: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictor, "load", None)
    told, more = "it has 3 bands, but band 9 is wanted", ["--bands", "9,8,7"]
    if wrong == "no images":
        told, more = "by its content it is no PNG", []
        for image in folder.rglob("*.png"):
            image.write_text("no image")
    assert main(["caption", str(folder), "--weights", str(weights), *more]) == 2
    assert capsys.readouterr().err.count(told) == 3
