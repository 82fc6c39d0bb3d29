"""Fixtures: where the commands of the site are given, a folder and a hub, with what no
flag makes smaller made smaller."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import sencap.bench
from hub_server import Hub, hub
from sencap.bench import BenchReport
from sencap.config import ModelSettings
from sencap.models import export
from site_graphs import TracedOnce
from site_world import tiny_settings, write_world

LARGE = 1_000_000  # bytes

__all__ = ["here", "hub", "kept_graphs", "world"]


@pytest.fixture(scope="session")
def kept_graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for graphs, the same for all processes of a run of the tests."""
    base = tmp_path_factory.getbasetemp()
    several = "PYTEST_XDIST_WORKER" in os.environ
    return (base.parent if several else base) / "graphs"


@pytest.fixture(scope="module")
def world(
    tiny_data: Path, kept_graphs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A clone, as far as commands need it, and all that the pages' names stand for."""
    with pytest.MonkeyPatch.context() as patch:
        once = TracedOnce(export.export_graphs, kept_graphs)
        patch.setattr(export, "export_graphs", once)
        yield write_world(tmp_path_factory.mktemp("world") / "clone", tiny_data)


def copy_or_link(source: str, target: str) -> str:
    """Weights are linked: no command writes into a file of weights that is there."""
    if Path(source).stat().st_size > LARGE:
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))


real_bench = sencap.bench.bench


def small_bench(
    systems: Mapping[str, ModelSettings], weights: Mapping[str, Path], **numbers: Any
) -> BenchReport:
    """The bench of tiny systems, without the fresh processes that show memory."""
    tiny = {name: tiny_settings(name) for name in systems}
    return real_bench(tiny, weights, memory=False, **numbers)


@pytest.fixture
def here(
    world: Path,
    hub: Hub,
    quick_java: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """An own copy of the world, where the commands are given, with a hub that holds
    OWNER/NAME."""
    folder = tmp_path / "here"
    shutil.copytree(world, folder, symlinks=True, copy_function=copy_or_link)
    monkeypatch.chdir(folder)
    files = {p.name: p.read_bytes() for p in (folder / "CHECKPOINT").iterdir()}
    hub.add("OWNER/NAME", files, branch="REVISION")
    monkeypatch.setenv("HF_TOKEN", "a-token")
    monkeypatch.setattr("sencap.bench.bench", small_bench)
    monkeypatch.setattr("sencap.bench.measure.SIDE", 256)
    words = json.loads((folder / "CHECKPOINT" / "vocabulary.json").read_text())
    count = len(words)  # as the trainings have, whose graphs are there
    monkeypatch.setattr("sencap.bench.measure.VOCABULARY_SIZE", count)
    return folder
