"""The page of captioned pairs: whole, self-contained, every text escaped, each badge
true."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sencap.errors import DataError, SettingsError
from sencap.evaluation.calibration import calibration
from sencap.figures.album import Section, ShownPair, choose, render_album, write_album


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 120, 40)).save(buffer, kind)
    return buffer.getvalue()


def pair(**changes: object) -> ShownPair:
    settings: dict[str, object] = {
        "title": "one.png",
        "before": encoded("PNG"),
        "after": encoded("JPEG"),
        "caption": "a road is built",
    }
    return ShownPair(**{**settings, **changes})  # type: ignore[arg-type]


class Tags(HTMLParser):
    """The tags of a page, checked to be closed in order, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in {"img", "meta", "br"}:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_needs_nothing_else(tmp_path: Path) -> None:
    full = pair(
        references=["a road", "a path"],
        scores={"CIDEr": 12.34, "METEOR": None},
        changed=True,
        told=False,
    )
    path = write_album(
        tmp_path / "new" / "page.html",
        [Section("Best", [full]), Section("", [pair()])],
        title="Pairs",
    )
    page = path.read_text(encoding="utf-8")
    tags = Tags(page)
    sources = [
        value or "" for name, value in tags.attributes if name in {"src", "href"}
    ]
    assert [source.split(";")[0] for source in sources] == [
        "data:image/png",
        "data:image/jpeg",
    ] * 2
    assert not re.search(r"https?:|url\(|@import|<script|<link", page)
    for wanted in (
        "a road is built",
        "a path",
        "12.3",
        "–",
        "changed, but told “no change”",
    ):
        assert wanted in tags.text
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]


@given(st.text(max_size=40))
def test_any_text_stays_text(text: str) -> None:
    page = render_album(
        [
            Section(
                text,
                [pair(title=text, caption=text, references=[text], details=[text])],
                text,
            )
        ],
        title=text,
        text=text,
        footer=text,
    )
    Tags(page)


def test_html_in_a_caption_is_shown_not_run() -> None:
    page = render_album(
        [Section("", [pair(caption="<script>alert('x')</script>{body}")])],
        title="{body}",
    )
    assert "<script>" not in page
    assert "<script>alert('x')</script>{body}" in Tags(page).text


def test_an_empty_caption_says_so() -> None:
    assert "(empty caption)" in render_album(
        [Section("", [pair(caption="")])], title="t"
    )


@pytest.mark.parametrize(
    ("changed", "told", "badge"),
    [
        (True, True, "changed, told right"), (False, False, "unchanged, told right"),
        (False, True, "unchanged, but told “change”"), (True, None, "changed"),
        (None, True, "change"), (None, False, "no change"), (None, None, None),
    ],
)  # fmt: skip
def test_the_badge(changed: bool | None, told: bool | None, badge: str | None) -> None:
    shown = pair(changed=changed, told=told)
    page = render_album([Section("", [shown])], title="t")
    found = re.findall(r'<span class="badge ([^"]*)">([^<]*)</span>', page)
    assert [text for _, text in found] == ([] if badge is None else [badge])
    kinds = {
        "right": changed is not None and changed == told,
        "wrong": "but told" in (badge or ""),
    }
    assert [kind for kind, _ in found if kind] == [
        kind for kind, is_so in kinds.items() if is_so
    ]


def test_pixels_instead_of_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'one.png' is no PNG, JPEG, GIF or WebP file"):
        write_album(
            tmp_path / "page.html", [Section("", [pair(after=b"\0" * 192)])], title="t"
        )
    assert list(tmp_path.iterdir()) == []
    assert "data:image/webp" in render_album(
        [Section("", [pair(after=encoded("WEBP"))])], title="t"
    )


@given(
    st.lists(st.none() | st.floats(0, 200), max_size=30),
    st.integers(1, 8),
    st.integers(0, 5),
)
def test_choose(scores: list[float | None], number: int, seed: int) -> None:
    chosen = choose(scores, number, seed)
    assert chosen == choose(scores, number, seed)
    every = [index for indices in chosen.values() for index in indices]
    assert len(set(every)) == len(every) == min(3 * number, len(scores))
    value = [-1.0 if score is None else score for score in scores]
    rest = set(range(len(scores))) - set(chosen["best"])
    if rest:
        assert min(value[i] for i in chosen["best"]) >= max(value[i] for i in rest)
    rest -= set(chosen["worst"])
    if rest:
        assert max(value[i] for i in chosen["worst"]) <= min(value[i] for i in rest)


def test_choose_needs_a_number() -> None:
    with pytest.raises(SettingsError, match="number is 0"):
        choose([1.0], 0)


def test_a_reliability_diagram_has_a_dot_for_each_bin_where_it_belongs() -> None:
    found = calibration([0.05, 0.05, 0.95], [False, True, True])
    page = render_album([], title="T", calibration=found)
    dots = re.findall(r'<circle cx="([\d.]+)"\s+cy="([\d.]+)"\s+r="([\d.]+)"', page)
    assert [(float(x), float(y)) for x, y, _ in dots] == [(10.0, 100.0), (190.0, 0.0)]
    assert float(dots[0][2]) > float(dots[1][2]), "two pairs make a larger dot than one"
    assert "0.317 (3 pairs)" in page
    assert "<circle" not in render_album([], title="T")
