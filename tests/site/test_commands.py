"""Every command and block of Python of README and of the site is one, and runs.

All commands are given to their parsers. Then each page's are run in their order, in a
folder of their own, on drawn data. `NOT_RUN` names those that are not, and why.
"""

from __future__ import annotations

import ast
import re
import shlex
import time
import tomllib
from pathlib import Path

import pytest

from sencap.cli import VERBS
from site_given import Given
from site_here import here, hub, kept_graphs, world
from site_pages import (
    PROGRAMS,
    ROOT,
    help_of,
    pages,
    program,
    sencap_words,
    understood,
)
from site_tables import FEWER, NEEDED, NOT_RUN, SMALLER, missing, plain, reason
from site_world import names_of_blocks

__all__ = ["here", "hub", "kept_graphs", "world"]

# of huggingface_hub, which hands files to its HTTP client in a way that ages
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

PAGES = {page.name: page for page in pages()}

# The same of blocks of Python, by what they hold.
PYTHON_NOT_RUN = {"places=my_places": "hours at these settings; tests/pretraining"}


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
    assert {reason(command) for command in commands} == {None, *NOT_RUN.values()}
    for like in (*NEEDED, *SMALLER):
        assert any(plain(command).startswith(like) for command in commands), like
    for words in FEWER:
        assert any(words in command for command in commands), words


WITH_COMMANDS = [
    name
    for name, page in PAGES.items()
    if any(reason(command) is None for command in page.commands)
]


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_the_commands_of_a_page_run(
    name: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = PAGES[name]
    with Given() as given:
        for command in page.commands:
            if reason(command) is not None or missing(command) is not None:
                continue
            start = time.time_ns()
            code, printed = given.run(command)
            refused = f"{command} # refused" in page.text
            assert code == (2 if refused else 0), (command, printed, capfd.readouterr())
            if command.startswith("curl"):  # which succeeds with a refusal too
                assert '"caption"' in printed
            assert page.shown.get(command, printed).strip() == printed.strip()
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
