"""`--weights best` and `--weights sen`: other weights that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

import sencap
from sencap.demonstration import EXAMPLES
from sencap.weights import NAMED, SHIPPED, resolve_weights

PAIR = (
    EXAMPLES / "synthetic-houses_before.png",
    EXAMPLES / "synthetic-houses_after.png",
)


def test_best_is_a_checkpoint_of_its_own_that_captions() -> None:
    found = resolve_weights("best")
    assert found.folder == NAMED["best"]
    assert found.name == "siamese-lite2"
    assert found.sha256 != resolve_weights(None).sha256
    caption = sencap.load("best")(*PAIR)
    assert caption.text
    assert caption.changed


def test_sen_is_the_papers_structure_and_captions() -> None:
    predictor = sencap.load("sen")
    assert predictor.checkpoint.settings.system == "sen"
    assert predictor(*PAIR).text


@pytest.mark.parametrize("name", NAMED)
def test_a_folder_of_that_name_goes_first(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_weights(name).folder == Path(name)


@pytest.mark.parametrize("folder", [SHIPPED, *NAMED.values()], ids=lambda one: one.name)
def test_what_ships_is_small_and_says_what_it_is(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size < 40e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "For research use only" in card
    assert (folder / "about.yaml").is_file()
