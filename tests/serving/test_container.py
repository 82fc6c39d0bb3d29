"""The container files: linted, since no container engine is at hand; and what they
promise."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sencap.cli import VERBS, verb_parser
from sencap.verbs.serve import command

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "Containerfile"
COMPOSE = ROOT / "compose.yaml"


def _run(tool: str, *arguments: str) -> None:
    found = shutil.which(tool, path=Path(sys.executable).parent) or shutil.which(tool)
    if found is None:
        pytest.skip(f"needs {tool} (extra dev)")
    done = subprocess.run(
        [found, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_container_file_is_sound() -> None:
    _run("hadolint", str(CONTAINERFILE))


def test_the_compose_file_is_as_its_schema_wants_it() -> None:
    _run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))


def test_it_runs_as_an_ordinary_user_on_a_root_that_cannot_be_written() -> None:
    lines = CONTAINERFILE.read_text().splitlines()
    assert "USER 10001" in lines
    assert lines.index("USER 10001") > max(
        n for n, line in enumerate(lines) if "RUN" in line
    )
    service = yaml.safe_load(COMPOSE.read_text())["services"]["sencap"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    # it is not killed before it gives up waiting for what was begun
    timeout = int(service["command"][service["command"].index("--timeout") + 1])
    assert int(service["stop_grace_period"].removesuffix("s")) > timeout


def test_the_flags_in_the_files_are_those_of_serve() -> None:
    flags = set(re.findall(r"--[a-z-]+", "\n".join(_commands())))
    known: Any = verb_parser("serve", command)
    assert "serve" in VERBS
    assert flags <= {flag.replace("_", "-") for flag in known.flags}


def _commands() -> list[str]:
    """The lines that start the server."""
    entry = [
        line for line in CONTAINERFILE.read_text().splitlines() if "ENTRYPOINT" in line
    ]
    return entry + [
        line for line in COMPOSE.read_text().splitlines() if "command:" in line
    ]
