"""The page in a real browser: Debian's chromium, driven by Playwright. Without them
these skip."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from sencap import load
from sencap.scenes.scanning import batches
from sencap.serving import scans
from serving_tools import HOUSES, example
from tiny_rasters import Write, write  # noqa: F401  (a fixture)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# A folder, for whoever wants to look at the page.
PICTURES = os.environ.get("SENCAP_SCREENSHOTS")
SMALLEST = 200_000  # bytes: the page has to be below

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="needs chromium: apt-get install chromium, on Debian and Ubuntu",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def said() -> str:
    """What the predictor says of the pair that most tests give."""
    return load()(*HOUSES).text


@pytest.fixture
def context(
    browser: Browser, request: pytest.FixtureRequest
) -> Iterator[BrowserContext]:
    """A window of a kind."""
    kind = getattr(request, "param", "desktop")
    size = (
        {"width": 390, "height": 844}
        if kind == "phone"
        else {"width": 1280, "height": 900}
    )
    context = browser.new_context(
        viewport=size,  # type: ignore[arg-type]
        has_touch=kind == "phone",
        color_scheme="dark" if kind == "dark" else "light",
    )
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, address: str) -> Iterator[Page]:
    """The page; any error of its script fails the test, and any other host that it
    asks."""
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda said: wrong.append(said.text) if said.type == "error" else None,
    )
    page.on(
        "request",
        lambda asked: wrong.append(asked.url) if _is_outside(asked.url) else None,
    )
    page.goto(address)
    yield page
    expected = "status of 4"  # what a browser logs of a refusal that a test asks for
    assert [text for text in wrong if expected not in text] == []


everywhere = pytest.mark.parametrize(
    "context", ["desktop", "phone", "dark"], indirect=True
)


def _is_outside(url: str) -> bool:
    return not re.match(r"http://127\.0\.0\.1|data:|blob:", url)


def _give(page: Page, pair: tuple[Path, Path]) -> None:
    page.set_input_files("#before", pair[0])
    page.set_input_files("#after", pair[1])


def _look(page: Page, name: str, request: pytest.FixtureRequest) -> None:
    """Keep a picture of the page, if somebody wants to see it."""
    if PICTURES is not None:
        kind = request.node.callspec.id
        page.screenshot(path=Path(PICTURES) / f"{name}-{kind}.png", full_page=True)


@everywhere
def test_two_files_are_captioned_and_the_words_tell_where_they_looked(
    page: Page, said: str, request: pytest.FixtureRequest
) -> None:
    _give(page, HOUSES)
    expect(page.locator("#sentence")).to_have_text(said)
    expect(page.locator("#chance")).to_contain_text("Changed – probability of change")
    expect(page.locator("#status")).to_contain_text(f"It says: {said}.")
    assert page.locator("#others li").count() >= 1
    words = page.locator("#words button")
    expect(words).to_have_text(said.split())
    expect(page.locator("#map")).to_be_hidden()
    words.nth(1).hover()
    expect(page.locator("#map")).to_be_visible()
    expect(page.locator("#said")).to_contain_text("most attention in row")
    words.nth(1).click()
    page.mouse.move(0, 0)
    expect(page.locator("#map")).to_be_visible()  # it is kept
    expect(words.nth(1)).to_have_attribute("aria-pressed", "true")
    _look(page, "answer", request)
    words.nth(2).focus()
    expect(page.locator("#said")).to_contain_text(f"“{said.split()[2]}”")


def test_the_swipe_is_moved_by_keys_and_mouse(page: Page) -> None:
    _give(page, HOUSES)
    divider = page.locator("#divider")
    expect(page.locator("#answer")).to_be_visible()
    divider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(divider).to_have_value("60")
    expect(page.locator("#swipe")).to_have_attribute("style", "--cut: 60%;")
    page.locator("#swipe").scroll_into_view_if_needed()
    box = page.locator("#swipe").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 10)
    page.mouse.down()
    page.mouse.up()
    assert float(divider.input_value()) == pytest.approx(25, abs=1)


@pytest.mark.parametrize("context", ["phone"], indirect=True)
def test_the_swipe_is_moved_by_a_finger(page: Page) -> None:
    _give(page, HOUSES)
    expect(page.locator("#answer")).to_be_visible()
    page.locator("#swipe").scroll_into_view_if_needed()
    box = page.locator("#swipe").bounding_box()
    assert box is not None
    screen = page.context.new_cdp_session(page)

    def finger(kind: str, *shares: float) -> None:
        points = [
            {"x": box["x"] + share * box["width"], "y": box["y"] + 20}
            for share in shares
        ]
        screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    finger("touchStart", 0.5)
    for share in (0.6, 0.7, 0.8):
        finger("touchMove", share)
    finger("touchEnd")
    value = float(page.locator("#divider").input_value())
    assert value == pytest.approx(80, abs=2)


def test_images_are_pasted_one_after_the_other(page: Page, said: str) -> None:
    for path in HOUSES:
        page.evaluate(
            """(bytes) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], 'image.png'));
              document.dispatchEvent(
                new ClipboardEvent('paste', {clipboardData: data, cancelable: true}));
            }""",
            list(path.read_bytes()),
        )
    expect(page.locator("#sentence")).to_have_text(said)


def test_files_are_dropped_and_the_dates_swapped(page: Page, said: str) -> None:
    content = [list(path.read_bytes()) for path in HOUSES]
    page.evaluate(
        """([one, other]) => {
          const data = new DataTransfer();
          for (const [bytes, name] of [[one, 'one.png'], [other, 'other.png']])
            data.items.add(new File([new Uint8Array(bytes)], name));
          document.querySelector('.drop').dispatchEvent(
            new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        content,
    )
    expect(page.locator("#sentence")).to_have_text(said)
    assert page.input_value("#before").endswith("one.png")
    page.click("#swap")
    assert page.input_value("#before").endswith("other.png")
    expect(page.locator("#sentence")).to_have_text(load()(*reversed(HOUSES)).text)
    expect(page.locator("#history li")).to_have_count(2)
    page.locator("#history button").last.click()
    expect(page.locator("#sentence")).to_have_text(said)


def test_an_example_is_one_choice_away_and_settings_are_heeded(
    page: Page, said: str
) -> None:
    page.select_option("#example", "synthetic-houses")
    expect(page.locator("#sentence")).to_have_text(said)
    page.click("summary")
    page.fill("#threshold", "1")
    page.fill("#beam", "1")
    page.click("#go")
    expect(page.locator("#sentence")).to_have_text("the scene is the same as before")
    expect(page.locator("#chance")).to_contain_text(
        "From 100\u00a0% on a pair counts as changed"
    )


def test_what_is_wrong_is_said_in_words_of_ours(page: Page, tmp_path: Path) -> None:
    page.click("#go")
    expect(page.locator("#problem")).to_have_text(
        "Choose an image before and one after."
    )
    text = tmp_path / "notes.txt"
    text.write_text("<img src=x onerror=alert(1)>")
    _give(page, (text, HOUSES[1]))
    expect(page.locator("#problem")).to_contain_text(
        "before: by its content it is no PNG"
    )
    expect(page.locator("#answer")).to_be_hidden()


def test_the_answer_is_downloaded(page: Page, said: str) -> None:
    _give(page, HOUSES)
    expect(page.locator("#answer")).to_be_visible()
    with page.expect_download() as found:
        page.click("#save-json")
    told = json.loads(found.value.path().read_text())
    assert told["caption"] == said
    assert len(told["words"]) == len(told["caption"].split())
    with page.expect_download() as found:
        page.click("#save-picture")
    assert found.value.suggested_filename == "sencap.png"
    with Image.open(found.value.path()) as picture:
        assert picture.width > 2 * 448
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50
    expect(page.locator("#save-geojson")).to_be_hidden()


@everywhere
def test_geotiffs_are_shown_with_their_place_and_scanned(
    page: Page,
    write: Write,  # noqa: F811
    request: pytest.FixtureRequest,
) -> None:
    images = [
        np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
        for path in HOUSES
    ]
    large = [np.tile(image, (1, 3, 4)) for image in images]
    _give(page, (write("a.tif", large[0]), write("b.tif", large[1])))
    expect(page.locator("#answer")).to_be_visible()
    with page.expect_download() as found:
        page.click("#save-geojson")
    (feature,) = json.loads(found.value.path().read_text())["features"]
    assert feature["geometry"]["type"] == "Polygon"
    page.click("#scan")
    expect(page.locator("#scan-summary")).to_contain_text(
        "windows changed", timeout=20_000
    )
    expect(page.locator("#scan-map")).to_be_visible()
    _look(page, "scan", request)
    with page.expect_download() as found:
        page.click("#save-scan")
    assert json.loads(found.value.path().read_text())["placed"] is True


def test_a_second_scan_does_not_hide_the_first(
    page: Page,
    write: Write,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()

    def held(*given: Any) -> Iterator[Any]:
        assert go_on.wait(20)
        yield from batches(*given)

    monkeypatch.setattr(scans, "batches", held)
    images = [
        np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
        for path in HOUSES
    ]
    before, after = (
        write(name, np.tile(image, (1, 2, 2)))
        for name, image in zip(("a.tif", "b.tif"), images, strict=True)
    )
    lines = page.locator("#jobs li")
    try:
        _give(page, (before, after))
        expect(page.locator("#history li")).to_have_count(1)
        page.click("#scan")
        expect(lines).to_have_count(1)
        page.click("#swap")
        expect(page.locator("#history li")).to_have_count(2)
        page.click("#scan")
        expect(lines).to_have_count(2)
        expect(lines.first).to_contain_text("a.tif → b.tif 0 of ")
        expect(lines.last).to_contain_text("b.tif → a.tif waits for the scan before it")
        # Each button cancels the scan of its own line.
        lines.first.get_by_role("button", name="Cancel").click()
        expect(lines).to_have_count(1)
        expect(lines).to_contain_text("b.tif → a.tif")
        page.click("#scan")
        expect(lines).to_have_count(2)
    finally:
        go_on.set()
    # Both results can be seen, whichever ended last.
    for line in (lines.first, lines.last):
        line.get_by_role("button", name="Show").click(timeout=20_000)
        expect(page.locator("#scan-summary")).to_contain_text("windows changed")


@everywhere
def test_all_is_reached_by_the_tab_key_and_nothing_is_wider_than_the_screen(
    page: Page,
) -> None:
    _give(page, HOUSES)
    expect(page.locator("#answer")).to_be_visible()
    page.locator("body").click(position={"x": 1, "y": 1})
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.id || document.activeElement.tagName")
        )
    wanted = {
        "before",
        "after",
        "go",
        "swap",
        "example",
        "divider",
        "save-picture",
        "save-json",
    }
    assert wanted <= reached
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@everywhere
def test_a_screen_reader_finds_its_way(
    page: Page, request: pytest.FixtureRequest
) -> None:
    """axe-core's rules (WCAG 2 A and AA): nothing serious, before and after an
    answer."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-core"
    )
    for stage in ("empty", "answered"):
        if stage == "answered":
            _give(page, HOUSES)
            expect(page.locator("#answer")).to_be_visible()
            page.click("summary")
        found = axe.Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []
        _look(page, stage, request)


def test_the_page_is_small(browser: Browser, address: str) -> None:
    page = browser.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    page.goto(address, wait_until="networkidle")
    page.close()
    assert len(sizes) >= 3
    assert sum(sizes.values()) < SMALLEST, sizes


def test_an_example_pair_is_what_ships(page: Page) -> None:
    names = page.locator("#example option").evaluate_all(
        "all => all.map((one) => one.value)"
    )
    assert all(example(name)[0].is_file() for name in names[1:])
    assert len(names) > 5
