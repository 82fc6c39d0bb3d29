"""A YAML file of settings: whatever is wrong with it is told with its name and the
line, before anything is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sencap.cli import main

FOREIGN = (
    "Parser key",
    "jsonargparse",
    "Traceback",
    "codec",
    "<unicode string>",
    "NoneType",
)


def _told(config: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `sencap train --config` says to a file that it refuses."""
    assert main(["train", "--config", config]) == 2
    error = capsys.readouterr().err
    assert not [word for word in FOREIGN if word in error]
    assert config in error
    return error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; write settings into it"),
        (b"- 1\n", "holds no settings; write each as name: value"),
        (b"hello\n", "holds no settings; write each as name: value"),
        (b"\x89PNG\r\n", "is no text in UTF-8 (byte 0)"),
        (b"data: [d\n", "line 2: did not find expected"),
        (b'data: "a\x00"\n', "control characters are not allowed"),
        (
            b"seed: !!python/object:os.system\n",
            "line 1: could not determine a constructor",
        ),
        (
            b"data: d\nextractor: 5\n",
            "line 2: extractor is 5; it must hold settings by name",
        ),
        (
            b"data: d\nextractor: other.yaml\n",
            "line 2: extractor is other.yaml; it must hold settings",
        ),
        (
            b"data: d\ndecoder: null\n",
            "line 2: decoder is null; it must hold settings by name",
        ),
        (b"seed: &a [*a]\n", "line 1: *a stands for another part; write its value out"),
        (
            b"a: &a [1]\nb: *a\n",
            "line 2: *a stands for another part; write its value out",
        ),
        (b"seed: 1\ndata: d\nseed: 2\n", "line 3: seed comes twice"),
        (b"optimisation:\n  epochs: 1\n  epochs: 2\n", "line 3: epochs comes twice"),
        (
            b"optimisation: {learning-rate: 1, learning_rate: 2}\n",
            "line 1: learning_rate comes twice",
        ),
        (b"data: d\n5: 5\n", "line 2: 5 is no name of a setting"),
        (b"a: " + b"[" * 5000, "line 1: exceeded maximum nesting depth"),
        (b"# " + b"x" * 200_000, "has 200,002 bytes, more than 100,000"),
    ],
)
def test_a_damaged_file_of_settings_is_told_with_its_line(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_bytes(content)
    assert message in _told(str(config), capsys)


def test_what_is_no_file_of_settings_is_refused_and_a_pipe_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert "it is a pipe; name a YAML file" in _told(str(pipe), capsys)
    assert "it is a folder; name a YAML file" in _told(str(tmp_path), capsys)
    assert "it does not exist; name a YAML file" in _told(
        str(tmp_path / "none.yaml"), capsys
    )
    assert "it is a device; name a YAML file" in _told("/dev/zero", capsys)
