"""CITATION.cff is valid by its schema, and says the version that is released."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from sencap import __version__
from site_pages import ROOT

FILE = ROOT / "CITATION.cff"


def checked(file: Path) -> subprocess.CompletedProcess[str]:
    """What the schema, which the checker brings, says of a file."""
    command = ["--builtin-schema", "vendor.citation-file-format", str(file)]
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_valid_and_of_this_version(tmp_path: Path) -> None:
    done = checked(FILE)
    assert done.returncode == 0, done.stdout + done.stderr
    citation = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["references"][0]["journal"].startswith("IEEE Transactions")
    broken = tmp_path / "CITATION.cff"
    broken.write_text(FILE.read_text(encoding="utf-8").replace("authors:", "autors:"))
    assert checked(broken).returncode != 0


def test_the_changelog_has_a_head_for_this_version() -> None:
    assert f"## {__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
