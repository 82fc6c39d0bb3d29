"""How a command ends: exit codes, closed pipes, full devices, terminals that lack
letters, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sencap import cli
from sencap.cli import VERBS, Verb, main
from sencap.errors import Terminated

SENCAP = [sys.executable, "-m", "sencap"]


def test_a_reader_that_has_gone_ends_it_without_a_word() -> None:
    """As ``sencap --help | true``: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*SENCAP, "--help"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (cli.READER_GONE, b"")


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)
def test_output_onto_a_full_device_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*SENCAP, "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == cli.USER_ERROR
    assert done.stderr == (
        "sencap: error: the output cannot be written (No space left on device); make "
        "room, and give the same command again\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_help_with_letters_that_a_terminal_lacks(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [*SENCAP, "pretrain", "--help"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u0393" in done.stdout  # the paper's letter for the views


def test_a_message_with_half_a_letter_can_be_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "no\udcffwhere"]) == 2
    assert "where" in capsys.readouterr().err


WAITING = """
import sys, time
from sencap import cli
def command() -> None:
    '''Wait. Output: none.'''
    print("started", flush=True)
    time.sleep(60)
sys.modules["waiting"] = type(sys)("waiting")
sys.modules["waiting"].command = command
cli.VERBS["wait"] = cli.Verb("waiting", "wait", resumes={resumes})
sys.exit(cli.main(["wait"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, cli.INTERRUPTED, "interrupted"),
        (signal.SIGTERM, cli.TERMINATED, "terminated"),
    ],
)
@pytest.mark.parametrize(
    ("resumes", "promise"),
    [
        (True, "what was finished is kept, the same command goes on from there"),
        (False, "the same command starts from the beginning"),
    ],
)
def test_a_signal_ends_a_verb_with_its_code_and_a_true_promise(
    number: signal.Signals, code: int, word: str, resumes: bool, promise: str
) -> None:
    program = WAITING.format(resumes=resumes)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        began = time.monotonic()
        process.send_signal(number)
        _, error = process.communicate(timeout=10)
    assert process.returncode == code
    assert error == f"sencap: {word}; {promise}\n"
    assert time.monotonic() - began < 5


def test_only_what_goes_on_promises_to_go_on() -> None:
    assert {name for name, verb in VERBS.items() if verb.resumes} == {
        "archive",
        "pack",
        "pretrain",
        "reproduce",
        "scan",
        "synth",
        "train",
    }


def test_memory_that_does_not_suffice_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        """Fail. Output: none."""
        raise MemoryError

    module = type(sys)("failing")
    module.__dict__["command"] = command
    monkeypatch.setitem(sys.modules, "failing", module)
    monkeypatch.setitem(VERBS, "fail", Verb("failing", "fail"))
    assert main(["fail"]) == 2
    assert "not enough memory" in capsys.readouterr().err


def test_the_handler_of_sigterm_is_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["check", "nowhere"])
    assert signal.getsignal(signal.SIGTERM) is before
    assert issubclass(Terminated, KeyboardInterrupt)
