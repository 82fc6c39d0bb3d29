"""The site in a browser, wide and as narrow as a phone: nothing sticks out, the search
finds, no other host is asked. Needs Debian's chromium."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from site_pages import built_site

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="needs chromium: apt-get install chromium, on Debian and Ubuntu",
)
SIZES = {"desktop": (1300, 900), "phone": (390, 844)}
# Pages with the widest tables, drawings and blocks; the guides are looked at too.
WIDEST = ("index.html", "api.html", "performance.html", "results.html", "systems.html")
# What a page must not have: a page wider than the window, or a picture wider than what
# holds it where that cannot be pushed aside.
STICKS_OUT = """() => {
  const wide = document.documentElement.scrollWidth > innerWidth;
  const pictures = [...document.querySelectorAll('.md-content img')].filter(
    (image) => image.getBoundingClientRect().right > innerWidth
      && getComputedStyle(image.parentElement).overflowX !== 'auto');
  return [wide, pictures.map((image) => image.src)];
}"""


def sticks_out(page: Any) -> Any:
    """What `STICKS_OUT` says once the page has arranged itself for a new width."""
    with contextlib.suppress(playwright.TimeoutError):
        nothing = f"() => JSON.stringify(({STICKS_OUT})()) === '[false,[]]'"
        page.wait_for_function(nothing, timeout=3_000)
    return page.evaluate(STICKS_OUT)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def test_nothing_sticks_out_and_no_other_host_is_asked(
    folder: Path, address: str, browser: Any
) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    guides = [f"guide/{file.name}" for file in sorted(folder.glob("guide/*.html"))]
    for name in [*WIDEST, *guides]:
        page.goto(f"{address}/{name}")
        for width, height in SIZES.values():
            page.set_viewport_size({"width": width, "height": height})
            assert sticks_out(page) == [False, []], (name, width)
    assert len(asked) > 40
    outside = [url for url in asked if not url.startswith((address, "data:"))]
    assert outside == []
    page.close()


def test_a_page_that_sticks_out_would_be_told(browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_content("<div style='width: 900px'>wide</div>")
    assert sticks_out(page) == [True, []]
    page.close()


def test_the_search_finds_a_word_of_the_glossary(address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.goto(f"{address}/index.html")
    page.keyboard.press("s")
    page.keyboard.type("misregistration", delay=20)
    found = page.get_by_role("link", name="Glossary").and_(
        page.locator("[href*='glossary.html']")
    )
    found.first.wait_for(timeout=20_000)
    page.close()
