"""An archive by Ray itself: stopped, gone on with, a worker killed; where it listens."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from sencap.archive.folder import ROW, Folder
from sencap.images.lists import read_list
from sencap.listed import caption_list
from sencap.predictor import load

from .pair_tables import write_list

pytestmark = [
    pytest.mark.skipif(
        not Path("/proc/self/net/tcp").exists(), reason="looks at processes in /proc"
    ),
    # not imported here: it looks at the environment as it is
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra archive"),
]
COUNT, BLOCK = 320, 8
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "0" * 8, "0" * 32}


def processes_below(parent: int) -> dict[int, str]:
    """What a process has started, and what that has, by number; their names."""
    names, parents = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "status").read_text()
            title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        found = re.search(r"^PPid:\s*([0-9]+)", status, re.MULTILINE)
        assert found is not None
        names[int(entry.name)], parents[int(entry.name)] = title, int(found[1])
    below = {parent}
    while more := {one for one, above in parents.items() if above in below} - below:
        below |= more
    return {one: names[one] for one in below - {parent}}


def addresses_of(process: int) -> set[str]:
    """The addresses, in the kernel's letters, of the sockets that a process has open."""
    inodes = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{process}/net/{kind}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in inodes:
                # a socket that listens has nothing at its other end
                local, remote = (word.partition(":")[0] for word in words[1:3])
                found |= {local, remote}
                listens_anywhere = words[3] == "0A" and not local.strip("0")
                assert not listens_anywhere, line
    return found


def start(table: Path, out: Path) -> subprocess.Popen[str]:
    flags = ["--batch-size", "4", "--block-size", str(BLOCK), "--workers", "2"]
    command = [sys.executable, "-m", "sencap", "archive", str(table), "-o", str(out)]
    return subprocess.Popen(
        [*command, *flags, "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(
    what: Callable[[], bool], run: subprocess.Popen[str] | None = None
) -> None:
    """Wait until something is so, at most two minutes; while ``run`` lives, if given."""
    end = time.monotonic() + 120
    while not what():
        assert run is None or run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_stop_and_a_killed_worker_cost_nothing_but_their_blocks(
    tmp_path: Path,
) -> None:
    """Ctrl-C, the same command again, and in it a worker killed: all rows are there
    once, and those of a run without Ray. Ray says nothing on the terminal, listens on
    the loopback only, and leaves nothing behind."""
    table = write_list(tmp_path / "list.csv", COUNT, missing=[3])
    out, folder = tmp_path / "out", Folder(tmp_path / "out")

    def done() -> list[Path]:
        return sorted((out / "captions").glob("[0-9]*.parquet"))

    run = start(table, out)
    wait_for(lambda: len(done()) >= 2, run)
    started = processes_below(run.pid)
    seen = {place for one in started for place in addresses_of(one)}
    assert len(seen) > 1
    assert seen <= LOOPBACK
    os.killpg(run.pid, signal.SIGINT)
    said, errors = run.communicate(timeout=60)
    assert (run.returncode, said) == (130, "")
    assert errors == (
        "sencap: interrupted; what was finished is kept, the same command goes on from "
        "there\n"
    )
    # Ray's own processes notice that the command has gone, which takes a moment.
    wait_for(lambda: not [one for one in started if Path(f"/proc/{one}").exists()])
    kept = {file: file.stat().st_mtime_ns for file in done()}
    assert 2 <= len(kept) < COUNT // BLOCK

    run = start(table, out)
    wait_for(lambda: len(done()) > len(kept), run)
    workers = [
        one
        for one, title in processes_below(run.pid).items()
        if title.startswith("ray::MapWorker")
    ]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    said, errors = run.communicate(timeout=180)
    assert (run.returncode, errors) == (0, "")
    assert said.startswith(f"{COUNT - 1} of {COUNT} pairs captioned\n")
    assert {file: file.stat().st_mtime_ns for file in kept} == kept

    found = list(folder.rows(COUNT // BLOCK, ROW.names))
    pairs = list(read_list(table))
    expected = list(caption_list(load(), pairs, batch_size=4))
    told = ("id", "number", "caption", "change_probability", "log_prob", "error")
    assert [[row[name] for name in told] for row in found] == [
        [row[name] for name in told] for row in expected
    ]
    drafts = [file for file in (out / "captions").iterdir() if file not in done()]
    assert len(drafts) <= 1  # that of the killed worker, deleted by the next run
