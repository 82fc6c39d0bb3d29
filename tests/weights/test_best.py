"""`--weights best`: the other weights that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

import sencap
from sencap.demonstration import EXAMPLES
from sencap.weights import BEST_FOLDER, SHIPPED, resolve_weights

PAIR = (
    EXAMPLES / "synthetic-houses_before.png",
    EXAMPLES / "synthetic-houses_after.png",
)


def test_best_is_a_checkpoint_of_its_own_that_captions() -> None:
    found = resolve_weights("best")
    assert found.folder == BEST_FOLDER
    assert found.name == "siamese-lite2"
    assert found.sha256 != resolve_weights(None).sha256
    caption = sencap.load("best")(*PAIR)
    assert caption.text
    assert caption.changed


def test_a_folder_called_best_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "best").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_weights("best").folder == Path("best")
    assert resolve_weights(None).folder == SHIPPED


@pytest.mark.parametrize("folder", [SHIPPED, BEST_FOLDER], ids=lambda one: one.name)
def test_what_ships_is_small_and_says_what_it_is(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size < 40e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "For research use only" in card
    assert (folder / "about.yaml").is_file()
