"""The core alone, as `pip install sencap` brings it: what works without PyTorch, and
what is said of the rest.

The environment is made of links to the packages that sencap's own metadata asks for,
and theirs, without extras.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_MEGABYTES = 450
WORKSHOP = {
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "safetensors",
    "matplotlib",
    "pycocoevalcap",
}


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _asked_for(distribution: metadata.Distribution) -> set[str]:
    """What a distribution needs, without extras; its extra ``signatures`` is asked for
    of jsonargparse."""
    wanted = set()
    for requirement in distribution.requires or []:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if extra is None or (
            distribution.name == "jsonargparse" and extra[1] == "signatures"
        ):
            wanted.add(_name(requirement))
    return wanted


def _closure() -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    waiting = _asked_for(metadata.distribution("sencap"))
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system or another Python
        waiting |= _asked_for(found[name])
    return found


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to all that the core needs, and nothing else."""
    folder = tmp_path_factory.mktemp("core")
    for distribution in _closure().values():
        for file in distribution.files or []:
            top = file.parts[0]
            if top in {"..", "__pycache__"} or (folder / top).exists():
                continue
            (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder


def _run(core: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of sencap with the core's packages alone: ``-S`` leaves out those that
    are installed."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(core), str(ROOT / "src")]),
    }
    command = [sys.executable, "-S", "-m", "sencap", *arguments]
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_core_needs_nothing_of_the_workshop_and_is_small() -> None:
    found = _closure()
    assert {"onnxruntime", "numpy", "pillow"} <= set(found)
    assert not WORKSHOP & set(found)
    size = 0
    for distribution in found.values():
        for file in distribution.files or []:
            path = Path(str(distribution.locate_file(file)))
            size += path.stat().st_size if path.is_file() else 0
    assert size < MOST_MEGABYTES * 1e6


def test_the_verbs_of_the_core_work_one_after_the_other(
    core: Path, tmp_path: Path
) -> None:
    def works(*arguments: str) -> str:
        done = _run(core, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    works("synth", "data", "--pairs", "10", "--workers", "1", "--quiet")
    assert "can be used for: training and evaluation" in works("check", "data")
    first = sorted((tmp_path / "data/images/test/A").iterdir())[0]
    pair = [str(first), str(first.parents[1] / "B" / first.name)]
    sentence = works("caption", *pair).strip()
    assert sentence
    assert sentence in works("explain", *pair, "-o", "why.html")
    works(
        "evaluate",
        "--data",
        "data",
        "--json",
        "report.json",
        "--page",
        "report.html",
        "--quiet",
    )
    assert "beam:unknown" in works("score", "report.json", "--data", "data")
    assert "absent    train" in works("doctor")
    assert "# Comparison" in works("compare", "report.json", "report.json")
    assert "index.html" in works("demo", "--out", "demo")
    assert "total" in works("info", str(ROOT / "src/sencap/weights/siamese-lite0"))
    assert (tmp_path / "demo/index.html").stat().st_size > 100_000


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("info sen", "train"),
        ("train --data data --out run", "train"),
        ("pretrain --data synthetic:10 --out run", "train"),
        ("reproduce table1 --data data", "train"),
        ("export weights", "train"),
        ("caption {pair} --engine torch", "train"),
        ("caption {pair} --device cuda", "train"),
        ("explain {pair} -o why.png", "figures"),
    ],
)
def test_what_needs_an_extra_says_so_in_one_line(
    core: Path, tmp_path: Path, tiny_data: Path, command: str, extra: str
) -> None:
    folder = tiny_data / "images/test"
    pair = f"{folder / 'A/test_000002.png'} {folder / 'B/test_000002.png'}"
    (tmp_path / "weights").mkdir()
    done = _run(core, *command.format(pair=pair).split(), cwd=tmp_path)
    assert done.returncode == 2
    assert f"pip install 'sencap[{extra}]'" in done.stderr
    assert done.stderr.count("\n") == 1
