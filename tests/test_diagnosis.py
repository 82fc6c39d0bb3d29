"""`sencap doctor`: what works is said to work, what does not is told in a line, and
ends with 1."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sencap.cli import main
from sencap.diagnosis import doctor
from sencap.weights import SHIPPED, resolve_weights

TRIED = ("engine", "weights", "example", "METEOR", "cache")
LOOKED_FOR = ("train", "figures", "geo", "seasons", "serve", "hub")
PARTS = (*TRIED, *LOOKED_FOR)


def statuses(weights: Path | None = None) -> dict[str, str]:
    return {one["name"]: one["status"] for one in doctor(weights)["findings"]}


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a Java of one's own on the path, or none."""

    def put(script: str) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        if script:
            program = tmp_path / "java"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)

    return put


def test_all_that_is_here_works_and_fits_a_screen(
    capsys: pytest.CaptureFixture[str], java: Callable[[str], None]
) -> None:
    java("echo 'openjdk version \"17\"' >&2")
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert len(lines) < 25
    assert lines[0].startswith("sencap ")
    assert lines[-1] == "all that is here works"
    for part in PARTS:
        assert f" {part} " in said
    assert "ONNX Runtime" in said
    assert "CPUExecutionProvider" in said
    assert "“" in said  # the example's caption
    assert 'openjdk version "17"' in said


def test_without_java_the_rest_works(java: Callable[[str], None]) -> None:
    java("")
    report = doctor()
    assert report["works"]
    (meteor,) = (one for one in report["findings"] if one["name"] == "METEOR")
    assert meteor["status"] == "absent"
    assert "install Java 8 or later" in meteor["found"]


def test_a_java_that_does_not_start_is_a_failure(
    java: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    java("echo 'no room for the heap' >&2; exit 1")
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["works"]
    (meteor,) = (one for one in report["findings"] if one["name"] == "METEOR")
    assert meteor["status"] == "broken"
    assert "does not start (no room for the heap); install Java" in meteor["found"]


def test_weights_that_are_none_are_told_and_the_engine_still_works(
    tmp_path: Path, java: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    java("")
    assert main(["doctor", "--weights", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "is no whole checkpoint" in said.out
    assert said.out.endswith("does not work: weights, example\n")
    assert said.err == ""
    assert statuses(tmp_path)["engine"] == "works"


def test_an_engine_that_cannot_be_imported_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, java: Callable[[str], None]
) -> None:
    java("")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = doctor()
    (engine,) = (one for one in report["findings"] if one["name"] == "engine")
    assert engine["status"] == "broken"
    assert engine["advice"] == "install sencap again: pip install -U sencap"
    assert "\n" not in engine["found"]


def test_an_extra_that_is_absent_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, java: Callable[[str], None]
) -> None:
    java("")
    monkeypatch.setattr("sencap.diagnosis.find_spec", lambda _: None)
    report = doctor()
    assert report["works"]
    (geo,) = (one for one in report["findings"] if one["name"] == "geo")
    assert geo["status"] == "absent"
    assert (
        geo["advice"] == "lacks rasterio, pyogrio, pyarrow: pip install 'sencap[geo]'"
    )


def test_the_weights_are_told_by_their_digest(java: Callable[[str], None]) -> None:
    java("")
    (weights,) = (one for one in doctor()["findings"] if one["name"] == "weights")
    assert f"SHA-256 {resolve_weights(None).sha256[:12]}" in weights["found"]


def test_the_hub_s_cache_is_told(
    tmp_path: Path, java: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs hub")

    def cache() -> str:
        (found,) = (one for one in doctor()["findings"] if one["name"] == "cache")
        assert found["status"] == "works"
        return str(found["found"])

    java("")
    place = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place))
    assert cache() == f"no cache yet at {place}; the hub is asked"
    folder = place / "models--somebody--captioner" / "snapshots" / ("a" * 40)
    shutil.copytree(SHIPPED, folder)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = cache()
    assert "1 repositories" in said
    assert "1 checkpoints" in said
    assert "not asked, as HF_HUB_OFFLINE is set" in said


def test_pytorch_is_not_loaded() -> None:
    program = "import sencap, sys; sencap.doctor(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
