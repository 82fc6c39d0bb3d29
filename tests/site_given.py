"""Commands of the site, given one after the other in the folder of a test."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import pytest

from sencap.cli import VERBS, main, verb_parser
from sencap.parsing import underscored
from site_pages import program, sencap_words
from site_tables import made_smaller

# Where the verbs write that want a folder of their own: what lies there goes before.
OWN_FOLDER = {
    "import": "out",
    "synth": "out",
    "pack": "out",
    "convert": "out",
    "train": "out",
    "pretrain": "out",
}
OWN_PROCESS = ("archive",)  # Ray looks for its own things in the process it starts in
METEOR = ("export",)  # needs S*m; the others do without Java, which takes seconds
VNNI = "flags: avx512_vnni"


class Given:
    """Runs commands in their order; ends the servers that they started."""

    def __init__(self) -> None:
        self.servers = contextlib.ExitStack()
        self.port = 8000

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.servers.close()

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and what was printed, to a file if the command says so."""
        command = made_smaller(command)
        words = sencap_words(command)
        if words is not None and words[0] == "serve":
            self.port = free_port()
            self.servers.enter_context(served(words, self.port))
            return 0, ""
        command = command.replace(":8000", f":{self.port}")
        command = command.replace("http://HOST:", "http://127.0.0.1:")
        with pytest.MonkeyPatch.context() as patch:
            set_around(command, words, patch)
            if words is None or words[0] in OWN_PROCESS:
                return in_a_shell(command)
            code, printed = in_this_process(words)
        file = re.search(r"\s>\s*(\S+)$", command)
        if file:
            Path(file[1]).write_text(printed)
        return code, printed


def set_around(command: str, words: list[str] | None, patch: Any) -> None:
    """The environment that a command names, Java where it is needed, and an int8 that
    any processor may have, however slow it is."""
    for name, value in re.findall(r"([A-Z_]+)=(\S+) ", command.partition("sencap")[0]):
        patch.setenv(name, value)
        if name == "HF_HUB_OFFLINE":  # which the client reads once
            patch.setattr(f"huggingface_hub.constants.{name}", value == "1")
    if words is None or words[0] not in METEOR:
        patch.setattr("shutil.which", lambda *_, **__: None)
    if "int8" in command:
        told = Path("cpuinfo")
        told.write_text(VNNI, encoding="utf-8")
        patch.setattr("sencap.engines.precisions.CPUINFO", told)
        patch.setattr("sencap.engines.quantise.PAIRS", 2)
        patch.setattr("sencap.bench.int8.LEAST_SPEED", 0)
        patch.setattr("sencap.bench.int8.FARTHEST_SCORE", 200)
        patch.setattr("sencap.bench.int8.LEAST_EQUAL_FLAGS", 0)


def in_a_shell(command: str) -> tuple[int, str]:
    """As a process, with the programs of this environment."""
    here = Path(sys.executable).parent
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    if program(command) == "python" and "import torch" in command:
        exec(shlex.split(command)[2], {})
        return 0, ""
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def in_this_process(words: list[str]) -> tuple[int, str]:
    """By the function that the program sencap calls."""
    clear_folder(words)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            code = main(words)
        except SystemExit as end:  # --help leaves
            code = int(end.code or 0)
    return code, printed.getvalue()


def clear_folder(words: list[str]) -> None:
    """Delete the folder that a command is to write."""
    verb, *arguments = words
    if verb not in OWN_FOLDER or "--help" in arguments:
        return
    parser = verb_parser(verb, importlib.import_module(VERBS[verb].module).command)
    values = parser.parse_args([underscored(word) for word in arguments])
    shutil.rmtree(values[OWN_FOLDER[verb]], ignore_errors=True)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextlib.contextmanager
def served(words: list[str], port: int) -> Iterator[None]:
    """``sencap serve``, as a process, once it is ready."""
    command = [sys.executable, "-m", "sencap", *words, "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                with contextlib.suppress(OSError):
                    urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).close()
                    break
                time.sleep(0.1)
            yield
        finally:
            server.terminate()
