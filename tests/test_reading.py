"""What keeps the source readable, and that no linter of ours looks for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path
    for folder in ("src", "tests", "benchmarks", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)
NAMES = "Error|Interrupt|Exception|Terminated|Cancelled|Refused"
ERROR = rf"[A-Za-z.]*(?:{NAMES})"
# "DataError: ..." or "KeyboardInterrupt, Terminated: ...".
ENTRY = re.compile(rf"{ERROR}(?:, {ERROR})*: ")
WITH_A_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# A bracket that closes, and a comment behind it that needs no place of its own there.
CLOSING = re.compile(r"^\s*[)\]}]+[,:]*\s+# (?!fmt:|type:|pragma:|noqa)")


def faults_of_raises(docstring: str) -> list[str]:
    """The lines of its section "Raises:" that do not begin an entry, go on with one, or
    hold one."""
    faults = []
    inside = False
    for line in docstring.splitlines():
        if line == "Raises:":
            inside = True
            continue
        # Another section, or an example.
        if not line.startswith("    "):
            inside = inside and not line
            continue
        if not inside:
            continue
        begins = ENTRY.match(line.strip()) is not None
        goes_on = line.startswith(" " * 8)
        another = re.search(rf"\. {ERROR}: ", line) is not None
        if another or begins == goes_on:
            faults.append(line)
    return faults


def docstrings(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, WITH_A_DOCSTRING)]
    found = [ast.get_docstring(node) for node in nodes]
    return [docstring for docstring in found if docstring]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_each_error_that_is_raised_has_a_line_of_its_own() -> None:
    faults = {}
    for path in FILES:
        for docstring in docstrings(path):
            found = faults_of_raises(docstring)
            # A section, and no sentence.
            found += re.findall(rf"^Raises {ERROR}.*", docstring, re.MULTILINE)
            if found:
                faults[name_of(path)] = found
    assert faults == {}


def test_no_comment_trails_a_closing_bracket() -> None:
    # It belongs above the statement: the formatter breaks a short line for its sake.
    faults = {}
    for path in FILES:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [line for line in lines if CLOSING.match(line)]
        if found:
            faults[name_of(path)] = found
    assert faults == {}


def test_faults_are_found() -> None:
    run_on = "Do.\n\nRaises:\n    DataError: bad.\n        Very. OutputError: full."
    assert faults_of_raises(run_on) == ["        Very. OutputError: full."]
    fallen_out = "Do.\n\nRaises:\n    DataError: a folder of\n    other options."
    assert faults_of_raises(fallen_out) == ["    other options."]
    good = "Do.\n\nRaises:\n    KeyboardInterrupt, Terminated: it was\n        stopped."
    assert faults_of_raises(good) == []
    assert CLOSING.match(")  # why")
    assert not CLOSING.match("}  # fmt: skip")
