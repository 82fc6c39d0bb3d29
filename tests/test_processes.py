"""Work in several processes: in order, in bounded memory, ended with the one that
started them, however it ends."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from multiprocessing import active_children, current_process
from pathlib import Path

import pytest

import tiny_jobs
from sencap.errors import DataError, SencapError, SettingsError, Terminated
from sencap.processes import map_in_order

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
COMMANDS = {
    "synth": ["synth", "OUT", "--pairs", "10", "--workers", "2", "--quiet"],
    "pack": ["pack", "synthetic:8", "OUT", "--size", "64", "--workers", "2", "--quiet"],
}


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# -- results ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "jobs"), [(1, [3, -2, 5]), (0, [-7]), (4, [-7]), (2, [])]
)
def test_one_process_or_one_job_is_worked_here(workers: int, jobs: list[int]) -> None:
    assert list(map_in_order(abs, jobs, workers=workers)) == [abs(job) for job in jobs]
    assert not active_children()


def test_results_come_in_the_order_of_the_jobs_though_the_first_takes_longest() -> None:
    naps = [0.2, *[0.0] * 20, 0.1, 0.0]
    assert list(map_in_order(tiny_jobs.nap, naps, workers=2)) == naps
    assert not active_children()


def test_the_work_is_done_elsewhere_by_all_processes() -> None:
    pids = set(map_in_order(tiny_jobs.nap_and_tell, [0.05] * 12, workers=2))
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_few_jobs_are_worked_before_their_turn(tmp_path: Path) -> None:
    work = partial(tiny_jobs.note_and_nap, str(tmp_path))
    with closing(map_in_order(work, range(1000), workers=2)) as results:
        assert next(results) == 0
        time.sleep(0.5)
        assert len(list(tmp_path.iterdir())) <= 10
        assert next(results) == 1
    assert not active_children()


def test_what_workers_print_does_not_harm(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(map_in_order(tiny_jobs.write_to_stdout, range(5), workers=2)) == list(
        range(5)
    )
    assert "Traceback" not in capfd.readouterr().err


# -- errors ----------------------------------------------------------------------------


def test_an_error_of_ours_is_raised_here_as_it_was_there() -> None:
    with pytest.raises(DataError, match=r"^number 3 is damaged$"):
        list(map_in_order(tiny_jobs.refuse, range(10), workers=2))
    assert not active_children()


def test_a_mistake_of_the_program_tells_where_it_happened() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(map_in_order(tiny_jobs.slip, range(10), workers=2))
    assert "tiny_jobs.py" in caught.value.__notes__[0]


def test_an_error_that_cannot_be_sent_is_told_all_the_same() -> None:
    with pytest.raises(RuntimeError, match="UnfitError: 1 and 2"):
        list(map_in_order(tiny_jobs.fail_strangely, range(3), workers=2))


def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(
        SencapError, match=r"ended before its work did \(exit code 7\).*fewer workers"
    ):
        list(map_in_order(tiny_jobs.die, range(10), workers=2))
    assert not active_children()


@POSIX
def test_a_process_that_is_asked_to_end_ends_this_one_too() -> None:
    with pytest.raises(Terminated):
        list(map_in_order(tiny_jobs.be_terminated, range(3), workers=2))


def test_what_cannot_be_loaded_elsewhere_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "passing_module.py").write_text(
        "def work(number):\n    return number\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import passing_module  # type: ignore[import-not-found]

    (tmp_path / "passing_module.py").write_text(
        "raise ValueError('gone')\n", encoding="utf-8"
    )
    with pytest.raises(
        SencapError, match=r"cannot load what it is to work on \(gone\)"
    ):
        list(map_in_order(passing_module.work, range(4), workers=2))


def test_what_cannot_be_handed_over_is_worked_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="sencap"):
        assert list(map_in_order(lambda number: number + 1, range(4), workers=2)) == [
            1,
            2,
            3,
            4,
        ]
    assert "working in one process" in caplog.text


def test_a_process_that_may_start_none_works_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING, logger="sencap"):
        assert list(map_in_order(abs, [-1, -2], workers=2)) == [1, 2]
    assert "may start none" in caplog.text


def test_a_script_that_is_being_loaded_by_its_own_process_is_told_of_the_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(current_process(), "_inheriting", True, raising=False)
    with pytest.raises(SettingsError, match="below `if __name__ == '__main__':`"):
        list(map_in_order(abs, [-1, -2], workers=2))


# -- scripts ---------------------------------------------------------------------------


def test_an_unguarded_script_runs_once_and_works(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        f"import sencap\nprint('run')\nsencap.synth({str(tmp_path / 'out')!r}, "
        "pairs=10, workers=2, progress=False)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "run\n", "")
    assert (tmp_path / "out" / "LevirCCcaptions.json").is_file()


def test_a_class_of_an_unguarded_script_is_worked_on_in_its_own_process(
    tmp_path: Path,
) -> None:
    script = tmp_path / "own_reader.py"
    script.write_text(
        "from sencap.places import SyntheticPlaces, pack\nclass "
        "Mine(SyntheticPlaces):\n    kind = 'mine'\nprint(pack(Mine(2, size=32), "
        f"{str(tmp_path / 'out')!r}, size=32, workers=2).places)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "2\n")
    assert "working in one process" in done.stderr
    assert "Traceback" not in done.stderr


# -- signals ---------------------------------------------------------------------------


def started(verb: str, out: Path) -> subprocess.Popen[str]:
    """The command in a session of its own, once its workers have written something."""
    words = [str(out) if word == "OUT" else word for word in COMMANDS[verb]]
    child = subprocess.Popen(
        [sys.executable, "-m", "sencap", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 60
    while not written(verb, out):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    return child


def written(verb: str, out: Path) -> bool:
    if verb == "synth":
        return len(list(out.glob("images/train/B/train*.png"))) >= 2
    return any(draft.stat().st_size > 10_000 for draft in out.glob(".images-*"))


@POSIX
@pytest.mark.parametrize("verb", list(COMMANDS))
@pytest.mark.parametrize(
    ("name", "to_all", "code", "told"),
    [
        ("SIGTERM", False, 143, "terminated"),
        ("SIGTERM", True, 143, "terminated"),  # as a batch system ends a job
        ("SIGINT", True, 130, "interrupted"),  # as a terminal does on Ctrl-C
        ("SIGKILL", False, -9, ""),
    ],
)
def test_workers_end_with_the_command_and_nobody_holds_its_pipes(
    verb: str, name: str, to_all: bool, code: int, told: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    child = started(verb, out)
    number = getattr(signal, name)
    if to_all:
        os.killpg(child.pid, number)
    else:
        child.send_signal(number)
    # Both pipes are closed when this returns.
    shown, error = child.communicate(timeout=3)
    assert child.returncode == code
    assert shown == ""
    if told:
        assert (
            error
            == f"sencap: {told}; what was finished is kept, the same command goes on from there\n"
        )
        assert not [path for path in out.rglob(".*") if path.is_file()]  # no drafts


@POSIX
@pytest.mark.parametrize("verb", list(COMMANDS))
def test_after_a_kill_the_same_command_goes_on_to_the_same_bytes(
    verb: str, tmp_path: Path
) -> None:
    from sencap.cli import main

    out, whole = tmp_path / "out", tmp_path / "whole"
    child = started(verb, out)
    child.kill()
    child.communicate(timeout=3)
    (out / ".left.123.new.png").write_bytes(b"half")
    for folder in (out, whole):
        words = [str(folder) if word == "OUT" else word for word in COMMANDS[verb]]
        assert main(words) == 0
    assert hashes(out) == hashes(whole)
