"""README and the site's pages as data: their commands, blocks of Python and prose."""

from __future__ import annotations

import functools
import importlib
import os
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sencap.cli import VERBS, verb_parser
from sencap.parsing import underscored

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# What a command may begin with.
PROGRAMS = (
    "sencap",
    "python",
    "pip",
    "make",
    "curl",
    "openssl",
    "docker",
    "torchrun",
    "srun",
    "mkdir",
    "cp",
    "cat",
    "git",
    "pytest",
    "mkdocs",
    "jupyter",
    "ray",
)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"<<'(\w+)'")
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Page:
    """A Markdown file: its name from the repository's root, and its text."""

    name: str
    text: str

    @property
    def fences(self) -> list[tuple[str, str]]:
        """Language and content of each block."""
        found = FENCE.findall(self.text)
        return [(language, textwrap.dedent(block)) for _, language, block in found]

    @property
    def commands(self) -> list[str]:
        """What the blocks of the language ``bash`` say, a command each, in order."""
        found = []
        for language, block in self.fences:
            if language == "bash":
                found += split(block)
        return found

    @property
    def shown(self) -> dict[str, str]:
        """What a page shows as the output of a command: the block of the language
        ``text`` behind the block that ends with the command."""
        found = {}
        for (language, block), (next_one, output) in pairwise(self.fences):
            if (language, next_one) == ("bash", "text"):
                found[split(block)[-1]] = output
        return found

    @property
    def python(self) -> list[str]:
        return [block for language, block in self.fences if language == "python"]

    @property
    def prose(self) -> str:
        return FENCE.sub("", self.text)

    @property
    def inline(self) -> list[str]:
        """What the prose sets in the type of code, on one line each."""
        return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", self.prose)]


def split(block: str) -> list[str]:
    """The commands of a block: without remarks, continued lines joined, and what a
    command reads up to a word (``<<'END'``) with it."""
    found = []
    lines = iter(block.splitlines())
    for line in lines:
        command = line
        while command.endswith("\\"):
            command = command[:-1].rstrip() + " " + next(lines).strip()
        heredoc = HEREDOC.search(command)
        if heredoc:
            for inner in lines:
                command += "\n" + inner
                if inner == heredoc[1]:
                    break
        else:
            command = re.sub(r"(^|\s)#.*", "", command).strip()
            while command.count('"') % 2:  # a text that goes on
                command += "\n" + next(lines)
        if command:
            found.append(command)
    return found


def pages() -> list[Page]:
    """README and every page of the site, but for what a program rendered."""
    files = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    found = []
    for file in files:
        if file.parent != DOCS / "results":
            name = file.relative_to(ROOT).as_posix()
            found.append(Page(name, file.read_text(encoding="utf-8")))
    return found


def program(command: str) -> str:
    """The program that a command starts, without settings before it (``A=1 …``)."""
    words = command.split()
    while words and ASSIGNMENT.fullmatch(words[0]):
        del words[0]
    return words[0] if words else ""


def sencap_words(command: str) -> list[str] | None:
    """Verb and arguments, if sencap is what a command starts, itself or through srun
    or torchrun."""
    if program(command) not in {"sencap", "srun", "torchrun"}:
        return None
    words = shlex.split(re.split(r"\s[>|]\s", command)[0])
    return words[words.index("sencap") + 1 :]


@functools.cache
def help_of(verb: str) -> str:
    """The help of a verb."""
    command = importlib.import_module(VERBS[verb].module).command
    return str(verb_parser(verb, command).format_help())


def understood(words: list[str]) -> None:
    """Give verb and arguments to the verb's parser, as the command line does."""
    name, *arguments = words
    if "--help" in words:
        return  # the parser would print it and leave
    parser = verb_parser(name, importlib.import_module(VERBS[name].module).command)
    parser.instantiate(parser.parse_args([underscored(word) for word in arguments]))


def built_site(folder: Path) -> Path:
    """Build the site into a folder; a warning fails it."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder
