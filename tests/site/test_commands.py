"""Every command and block of Python of README and of the site is one, and runs.

All commands are given to their parsers. Then each page's are run in their order, in a
folder of their own, on drawn data. `NOT_RUN` names those that are not, and why.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from sencap.cli import VERBS, main
from site_pages import (
    PROGRAMS,
    ROOT,
    help_of,
    pages,
    program,
    sencap_words,
    understood,
)
from site_world import names_of_blocks, write_world

PAGES = {page.name: page for page in pages()}

# What begins so is given to its parser only. The reason stands behind it.
NOT_RUN = {
    "sencap train": "hours at these settings; tests/training trains",
    "sencap pretrain": "hours at these settings; tests/pretraining pre-trains",
    "sencap reproduce": "minutes to weeks; tests/reproduce runs every table",
    "sencap bench": "measures for minutes; tests/test_bench.py runs it",
    "sencap convert": "needs a file of others; tests/foreign makes such files",
    "sencap export": "measures for a minute; tests/engines exports all systems",
    "sencap scan 2018.tif": "needs three dates; tests/scenes scans series",
    "sencap scan folder/": "needs three dates; tests/scenes scans series",
    "sencap scan items.json": "needs a STAC file; tests/scenes reads some",
    "sencap pack DATA": "needs SSL4EO-S12; tests/places packs a sample",
    "sencap pack rasters": "needs a series; tests/places packs one",
    "sencap pack runs/": "needs pairs that may not be passed on",
    "sencap pack synthetic:": "draws hundreds of places; tests/places packs some",
    "sencap synth runs/": "draws hundreds of pairs; tests/synthetic draws some",
    "sencap serve --host": "opens the machine; tests/serving asks with a token",
    "sencap caption before.png after.png --weights CHECKPOINT --precision int8": (
        "needs what the export before it writes"
    ),
    "sencap archive": "starts Ray, half a minute; tests/archive runs it",
    "sencap push": "needs a hub; its tests have a local one",
    "sencap caption before.png after.png --weights hub:": (
        "needs a hub; tests/weights has a local one"
    ),
    "curl -H": "goes with the command above",
    "openssl": "goes with the command above",
    "srun": "needs Slurm",
    "ray": "needs machines beside this one",
    "torchrun": "needs two machines",
    "docker": "needs a container engine; tests/serving checks the files",
    "pip": "needs a network; tests/site/test_package.py installs",
    "make": "is what CI runs",
    "git": "is what a release does",
    "mkdocs": "tests/site/test_build.py builds the site",
    "jupyter": "opens a browser; tests/site/test_notebook.py runs the notebook",
    "python -m build": "tests/site/test_package.py does it",
    "python": "measures, or needs data that may not be passed on",
}
# These are run though the table above has their like: cheap ones.
RUN = (
    "sencap train --config configs/ten-pairs.yaml",
    "sencap pretrain --data synthetic:12",
    "sencap reproduce table5 --data drawn --scale smoke --out runs/smoke --dry-run",
)
# The same of blocks of Python, by what they hold.
PYTHON_NOT_RUN = {"places=my_places": "hours at these settings; tests/pretraining"}
# Smaller, so that they take a second.
SMALLER = {
    "--pairs 1000": "--pairs 12",
    "configs/ten-pairs.yaml": "configs/ten-pairs.yaml --optimisation.epochs 1",
    "sencap compare ": "sencap compare --resamples 200 ",
    "sencap synth ": "sencap synth --workers 1 ",
}


def reason(command: str) -> str | None:
    """Why a command is not run; None if it is."""
    if command.startswith(RUN):
        return None
    plain = re.sub(r"^([A-Z_]+=\S+ )+", "", command)
    return next((why for like, why in NOT_RUN.items() if plain.startswith(like)), None)


def flags_of(script: Path) -> set[str]:
    """The flags that a script knows, read from its text."""
    found = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and str(node.value).startswith("--"):
            found.add(str(node.value))
    return found


def check(command: str) -> None:
    """A command is one: its parser, the script, the target or the extra knows it."""
    words = sencap_words(command)
    name = program(command)
    if words is not None:
        understood(words)
    elif name == "python":
        script, *arguments = shlex.split(command.partition("python ")[2])
        if script == "-c":
            ast.parse(arguments[0])
        elif script != "-m":
            flags = {word for word in arguments if word.startswith("--")}
            assert flags <= flags_of(ROOT / script), command
    elif name == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extras in re.findall(r"\[([\w,]+)\]", command):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])
    elif name == "make":
        target = command.split()[1]
        makefile = (ROOT / "Makefile").read_text()
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), command
    else:
        assert name in PROGRAMS, command


def check_mention(span: str) -> None:
    """What prose says of a command, perhaps in part: verb and flags, or script, are
    there."""
    name, _, rest = span.partition(" ")
    if name == "python" and rest.startswith(("benchmarks/", "scripts/")):
        check(span.partition(" …")[0])
    if name == "sencap" and rest and rest.split()[0] in VERBS:
        verb, *arguments = rest.split()
        flags = [word for word in arguments if word.startswith("--")]
        shown = help_of(verb)
        for flag in flags:
            assert f"{flag} " in shown or f"{flag}\n" in shown, span
    elif name == "sencap" and rest:
        assert rest.isupper() or rest.startswith("--"), span


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_page_is_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # where its configs are
    page = PAGES[name]
    for command in page.commands:
        check(command)
    for span in page.inline:
        for mention in span.split("; "):
            check_mention(mention)


@pytest.mark.parametrize("name", PAGES)
def test_commands_stand_in_blocks_that_are_tested(name: str) -> None:
    programs = r"^\s*([A-Z_]+=\S+ )?(sencap|python|pip|curl) \S"
    for language, block in PAGES[name].fences:
        if language != "bash":
            assert not re.search(programs, block, re.MULTILINE), block
    indented = re.findall(r"^    +sencap \S.*", PAGES[name].prose, re.MULTILINE)
    assert not indented


def test_a_command_that_is_none_would_be_told() -> None:
    with pytest.raises(Exception, match="--jsn"):
        check("sencap caption before.png after.png --jsn")
    with pytest.raises(KeyError, match="captoin"):
        check("sencap captoin before.png after.png")
    with pytest.raises(AssertionError):
        check("python benchmarks/epoch.py --no-such-flag 3")
    with pytest.raises(AssertionError):
        check("make nothing")


def test_every_verb_is_shown_and_every_reason_is_needed() -> None:
    commands = [command for page in PAGES.values() for command in page.commands]
    shown = {words[0] for words in map(sencap_words, commands) if words}
    assert shown >= set(VERBS)
    reasons = {reason(command) for command in commands}
    assert reasons == {None, *NOT_RUN.values()}
    for command in RUN:
        assert any(c.startswith(command) for c in commands), command


@pytest.fixture(scope="module")
def world(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone, as far as commands need it, and all that the pages' names stand for."""
    return write_world(tmp_path_factory.mktemp("world") / "clone", tiny_data)


@pytest.fixture
def here(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own copy of it, where the commands are given; without Java, since METEOR takes
    seconds."""
    shutil.copytree(world, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    return tmp_path / "here"


def give(command: str) -> tuple[int, str]:
    """Run one command where one is, sencap's without a new process; its exit code and
    what it printed, to a file if it says so."""
    for long, short in SMALLER.items():
        command = command.replace(long, short)
    words = sencap_words(command)
    printed = io.StringIO()
    if words is None:
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr
    if words[0] in {"import", "synth"}:
        target = words[2] if words[0] == "import" else words[3]
        shutil.rmtree(target, ignore_errors=True)  # it is to be written
    with contextlib.redirect_stdout(printed):
        try:
            code = main(words)
        except SystemExit as end:  # --help leaves
            code = int(end.code or 0)
    file = re.search(r"\s>\s*(\S+)$", command)
    if file:
        Path(file[1]).write_text(printed.getvalue())
    return code, printed.getvalue()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextlib.contextmanager
def served(port: int) -> Iterator[None]:
    """``sencap serve``, as a process, once it is ready."""
    command = [sys.executable, "-m", "sencap", "serve", "--port", str(port)]
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


WITH_COMMANDS = [
    name
    for name, page in PAGES.items()
    if any(reason(command) is None for command in page.commands)
]


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_the_commands_of_a_page_run(
    name: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        for command in PAGES[name].commands:
            if reason(command) is not None:
                continue
            if command.startswith("sencap serve"):
                stack.enter_context(served(port))
                continue
            start = time.time_ns()
            code, printed = give(command.replace(":8000", f":{port}"))
            refused = f"{command} # refused" in PAGES[name].text
            assert code == (2 if refused else 0), (command, printed, capfd.readouterr())
            assert PAGES[name].shown.get(command, printed).strip() == printed.strip()
            for output in outputs(command):
                new = refused or Path(output).stat().st_mtime_ns >= start
                assert new, (command, output)


def outputs(command: str) -> list[str]:
    """What a command says that it writes."""
    found = re.findall(r"(?:--json|--page|--markdown|-o|>) ([\w./-]+\.\w+)", command)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(
    ("name", "block"),
    [(name, block) for name, page in PAGES.items() for block in page.python],
)
def test_every_block_of_python_runs(name: str, block: str, here: Path) -> None:
    code = compile(block, name, "exec")
    if not any(part in block for part in PYTHON_NOT_RUN):
        exec(code, names_of_blocks(block))
