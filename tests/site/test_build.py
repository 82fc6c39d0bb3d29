"""The site builds with warnings as errors, its links lead somewhere, and it asks no other
host for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from sencap import _HOMES
from sencap import __all__ as public
from site_pages import DOCS, ROOT, built_site

# What a browser fetches by itself, by element and attribute.
FETCHED = {
    ("audio", "src"),
    ("iframe", "src"),
    ("img", "src"),
    ("link", "href"),
    ("script", "src"),
    ("source", "srcset"),
    ("video", "src"),
}
NOT_FETCHED = {"canonical", "next", "prev"}  # kinds of <link> that only tell
# Addresses in Material's scripts that are only used by features that are off here.
UNUSED = ("https://unpkg.com/mermaid", "https://api.github.com", "https://gitlab.com")


class Reader(HTMLParser):
    """Anchors, links, what is fetched, and the text of scripts of one page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {values[key] or "" for key in ("id", "name") if key in values}
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        for element, attribute in FETCHED:
            told = tag == "link" and values.get("rel") in NOT_FETCHED
            if tag == element and values.get(attribute) and not told:
                self.fetched.append(str(values[attribute]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    return built_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, Reader]:
    files = sorted(site.rglob("*.html"))
    return {file: Reader(file.read_text(encoding="utf-8")) for file in files}


def test_every_page_is_built(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        built = site / page.relative_to(DOCS).with_suffix(".html")
        assert built.is_file(), built


def test_links_between_pages_lead_somewhere(
    site: Path, read: dict[Path, Reader]
) -> None:
    count = 0
    for file, page in read.items():
        if file.name == "404.html":
            continue  # shown at any address, so its links begin at the root
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve()
            target = file if not parts.path else target
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), (file.name, link)
            if parts.fragment and target in read:
                anchor = unquote(parts.fragment)
                assert anchor in read[target].anchors, (file.name, link)
                count += 1
    assert count > 300


def test_pages_ask_no_other_host(site: Path, read: dict[Path, Reader]) -> None:
    for file, page in read.items():
        for address in page.fetched:
            parts = urlsplit(address)
            assert not parts.netloc, (file.name, address)
            assert parts.scheme in {"", "data"}, (file.name, address)
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        for address in re.findall(r"(?:url\(|@import\s*)[\"']?([^\"')]+)", text):
            assert not urlsplit(address).netloc, (sheet.name, address)
    for script in site.rglob("*.js"):
        text = script.read_text(encoding="utf-8", errors="replace")
        for address in re.findall(r"fetch\(\"(https?://[^\"]+)", text):
            assert address.startswith(UNUSED), (script.name, address)


def test_everything_public_is_on_the_page_of_python(
    site: Path, read: dict[Path, Reader]
) -> None:
    """By its home, as ``sencap.predictor.load``; a name may differ there."""
    anchors = read[site / "api.html"].anchors
    for name in public:
        home = _HOMES[name].replace(":", ".")
        assert home in anchors, name


def test_a_page_that_links_nowhere_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A\n\n[b](b.md) [c](#c)\n")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    validation = settings[settings.index("validation:") : settings.index("plugins:")]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: a\n{validation}")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "b.md" in done.stderr
    assert "#c" in done.stderr
