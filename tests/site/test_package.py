"""Wheel and source archive: they build, install into an environment without sencap, and
caption there, with the weights that ship inside."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from sencap import __version__
from site_pages import ROOT

MOST_BYTES = 60_000_000
WEIGHTS = "sencap/weights/siamese-lite0/model.safetensors"


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source archive, and the wheel that is made from it, as ``python -m build``
    makes them; with the tools that are here, since nothing is fetched."""
    folder = tmp_path_factory.mktemp("dist")
    command = ["-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run(sys.executable, *command, cwd=folder)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def test_they_hold_what_is_needed_and_are_small(built: tuple[Path, Path]) -> None:
    archive, wheel = built
    assert archive.stat().st_size < MOST_BYTES
    assert wheel.stat().st_size < MOST_BYTES
    with zipfile.ZipFile(wheel) as file:
        held = set(file.namelist())
    # all of the package that git would keep: the wheel is made from the archive
    package = ROOT / "src" / "sencap"
    for path in package.rglob("*"):
        name = path.relative_to(ROOT / "src").as_posix()
        if path.is_file() and path.suffix != ".pyc":
            assert name in held, name
    assert WEIGHTS in held
    assert f"sencap-{__version__}.dist-info/licenses/LICENSE" in held
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"README.md", "CITATION.cff", "mkdocs.yml", "docs/index.md"} <= names
    assert not [name for name in names if name.startswith((".venv", "runs", "site/"))]


def test_the_wheel_captions_in_an_environment_of_its_own(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    packages = Path(
        sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    )
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", built[1], cwd=tmp_path)
    # what sencap needs is taken from here; a line of a .pth file does not make those of
    # that folder count, so the sencap that is edited here is not found by it
    (packages / "here.pth").write_text("\n".join(site.getsitepackages()))

    where = run(python, "-c", "import sencap; print(sencap.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(home)
    examples = packages / "sencap" / "examples"
    pair = [examples / f"synthetic-road_{date}.png" for date in ("before", "after")]
    said = run(scripts / "sencap", "caption", *pair, "--json", cwd=tmp_path)
    caption = json.loads(said)
    assert caption["changed"]
    assert "road" in caption["caption"]
    assert __version__ in run(scripts / "sencap", "--version", cwd=tmp_path)
