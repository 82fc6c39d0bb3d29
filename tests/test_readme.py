"""README: it is short, and what it names is there.

Its commands and its block of Python are run by tests/site/test_commands.py, with those
of the site.
"""

from __future__ import annotations

import re
import tomllib

import numpy as np
from PIL import Image

from sencap.cli import VERBS
from site_pages import ROOT, Page, help_of, sencap_words

README = Page("README.md", (ROOT / "README.md").read_text(encoding="utf-8"))


def test_it_is_short_and_has_two_commands_and_a_picture() -> None:
    assert len(README.text.splitlines()) < 110
    assert {"make demo", "make test"} <= set(README.commands)
    assert any(sencap_words(command) for command in README.commands)
    assert README.python
    assert README.text.count("![") == 1


def test_flags_and_files_that_it_names_are_there() -> None:
    helps = "".join(help_of(verb) for verb in VERBS)
    for flag in re.findall(r"`(--[\w.-]+)", README.prose):
        assert f"{flag} " in helps, flag
    links = [
        link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README.text)
    ]
    words = [word for span in README.inline for word in span.split()]
    paths = [word for word in words if re.match(r"(configs|tests|docs|src)/", word)]
    assert links
    assert paths
    for path in {*links, *paths}:
        assert (ROOT / path).exists(), path


def test_targets_and_extras_that_it_names_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    said = "\n".join([*README.commands, *README.inline])
    for target in re.findall(r"\bmake ([a-z]+)\b", said):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.findall(r"'\.\[(\w+)\]'", README.text)
    assert extras
    for extra in extras:
        assert extra in project["optional-dependencies"], extra


def test_the_picture_is_one() -> None:
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.text):
        with Image.open(ROOT / picture) as image:
            assert np.asarray(image).std() > 0, picture
