"""A report of the weights that ship, on pairs that are drawn; a person's words."""

from __future__ import annotations

from pathlib import Path

import pytest

import sencap
from hub_server import hub, shipped_files

pytest.importorskip("huggingface_hub", reason="needs the extra hub")

__all__ = ["hub", "shipped_files"]

ABOUT = """\
licence: other
licence_terms: For research alone.
data: Pairs that nobody may name.
intended_use: To see what changed, by people who check it.
limits: Never evaluate them on the moon.
"""


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of four drawn pairs, without METEOR, whose Java takes seconds to start."""
    folder = tmp_path_factory.mktemp("scored")
    sencap.synth(
        folder / "drawn", pairs=10, val=0.4, test=0.1, workers=1, progress=False
    )
    path = folder / "report.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        sencap.evaluate(folder / "drawn", split="val", beam=1, json=path)
    return path


@pytest.fixture
def about(tmp_path: Path) -> Path:
    """A file whose entries are all filled."""
    path = tmp_path / "about.yaml"
    path.write_text(ABOUT, encoding="utf-8")
    return path
