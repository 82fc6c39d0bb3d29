"""A page of pictures: pairs of images with what was said of them, in one HTML file that needs nothing else.

For an evaluation, ``choose`` picks the best, the worst and some random pairs; for a demo, hand
``write_page`` any captioned pairs, with or without references and scores.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from sencap.errors import DataError, SettingsError
from sencap.files import told_as_output, write_whole

_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}


@dataclass(frozen=True)
class Picture:
    """One captioned pair on the page.

    before, after: the bytes of a PNG, JPEG, GIF or WebP file. caption: what the captioner says. references:
    what people say. scores: names and figures shown under the caption, as they are to be read. changed:
    whether the pair is truly changed, if known. told: whether the caption says so. details: lines of small
    print.
    """

    title: str
    before: bytes
    after: bytes
    caption: str
    references: Sequence[str] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict)
    changed: bool | None = None
    told: bool | None = None
    details: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """Some pictures under a heading, with a sentence on how they were chosen."""

    heading: str
    pictures: Sequence[Picture]
    text: str = ""


def choose(scores: Sequence[float | None], number: int, seed: int = 0) -> dict[str, list[int]]:
    """Indices of the best, the worst and some random pairs, number (≥ 1) of each at most, none of them twice.

    scores: one per pair; None counts as the lowest. Ties are broken by the order of the pairs. With few
    pairs the best come first, then the worst. Raises SettingsError for a number below 1.
    """
    if number < 1:
        raise SettingsError(f"number is {number}, but at least 1 pair of each kind has to be shown")
    order = sorted(range(len(scores)), key=lambda index: -_low(scores[index]))
    best = order[:number]
    worst = order[number:][::-1][:number]
    rest = sorted(set(order) - {*best, *worst})
    drawn = random.Random(seed).sample(rest, min(number, len(rest)))
    return {"best": best, "worst": worst, "random": drawn}


def _low(score: float | None) -> float:
    return float("-inf") if score is None else score


def write_page(
    path: str | Path, sections: Sequence[Section], *, title: str, text: str = "", footer: str = ""
) -> Path:
    """Write the page and return its path; a page that was there is replaced whole.

    path: an .html file; missing folders are made. title, text: head of the page. footer: attribution of the
    images, signatures. All texts are plain, and escaped. Raises DataError for an image of another kind, OutputError
    for a page that cannot be written.
    """
    content = render_page(sections, title=title, text=text, footer=footer)
    path = Path(path)
    with told_as_output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, content)


def render_page(
    sections: Sequence[Section], *, title: str, text: str = "", footer: str = ""
) -> str:
    """The HTML that ``write_page`` writes."""
    body = [f"<h1>{escape(title)}</h1>"]
    if text:
        body.append(f"<p class='lead'>{escape(text)}</p>")
    for section in sections:
        body.append(_section(section))
    if footer:
        body.append(f"<footer>{_lines(footer)}</footer>")
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    return "\n".join(
        ("<!doctype html>", f"<html lang='en'><head>{head}</head><body>", *body, "</body></html>\n")
    )


def _section(section: Section) -> str:
    head = f"<h2>{escape(section.heading)}</h2>" if section.heading else ""
    text = f"<p class='lead'>{escape(section.text)}</p>" if section.text else ""
    pairs = "\n".join(_picture(picture) for picture in section.pictures)
    return f"<section>{head}{text}<div class='pairs'>{pairs or '<p>No pairs.</p>'}</div></section>"


def _picture(picture: Picture) -> str:
    images = "".join(
        f"<figure><img src='{_data_uri(image, picture.title)}' alt='{escape(picture.title)}, {date}'>"
        f"<figcaption>{date}</figcaption></figure>"
        for date, image in (("before", picture.before), ("after", picture.after))
    )
    parts = [f"<div class='images'>{images}</div>", "<div class='words'>"]
    parts.append(f"<p class='name'>{escape(picture.title)}{_mark(picture)}</p>")
    caption = escape(picture.caption) if picture.caption else "<em>(empty caption)</em>"
    parts.append(f"<p class='caption'>{caption}</p>")
    if picture.references:
        items = "".join(f"<li>{escape(reference)}</li>" for reference in picture.references)
        parts.append(f"<div class='references'><p>References</p><ul>{items}</ul></div>")
    if picture.scores:
        cells = "".join(
            f"<span><b>{'–' if score is None else format(score, '.1f')}</b> {escape(name)}</span>"
            for name, score in picture.scores.items()
        )
        parts.append(f"<p class='scores'>{cells}</p>")
    if picture.details:
        parts.append(f"<p class='details'>{_lines(chr(10).join(picture.details))}</p>")
    return f"<article>{''.join(parts)}</div></article>"


def _mark(picture: Picture) -> str:
    """The badge: what the pair is, or what the caption says, and whether the two agree."""
    told = "" if picture.told is None else ("change" if picture.told else "no change")
    if picture.changed is None:
        return f" <span class='badge'>{told}</span>" if told else ""
    truth = "changed" if picture.changed else "unchanged"
    if picture.told is None or picture.told == picture.changed:
        kind, verdict = ("right", ", told right") if told else ("", "")
        return f" <span class='badge {kind}'>{truth}{verdict}</span>"
    return f" <span class='badge wrong'>{truth}, but told “{told}”</span>"


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.splitlines())


def _data_uri(image: bytes, title: str) -> str:
    kind = next((kind for start, kind in _KINDS.items() if image.startswith(start)), None)
    if kind is None and image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise DataError(
            f"the picture of {title!r} is no PNG, JPEG, GIF or WebP file (it begins with {image[:8]!r}); "
            "hand over the bytes of an encoded file, not pixels"
        )
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


_STYLE = """
:root { color-scheme: light dark; --ink: #1d2529; --soft: #5c6970; --paper: #f5f4f0; --card: #fff;
  --line: #dfddd6; --right: #1f6b45; --right-bg: #e2f1e8; --wrong: #a0341f; --wrong-bg: #fae6e1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #a2abb0; --paper: #15191b;
  --card: #1e2427; --line: #343c40; --right: #8fd6b0; --right-bg: #1d3a2b; --wrong: #f0a594; --wrong-bg:
  #46251e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 2.5rem 1.25rem 3rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem; padding-top: 1.25rem; border-top: 2px solid var(--ink); }
.lead { color: var(--soft); margin: 0 0 1rem; max-width: 75ch; }
article { display: grid; grid-template-columns: minmax(0, 460px) minmax(0, 1fr); gap: 1.25rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin: 0 0
  1rem; }
.images { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; align-content: start; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 4px; image-rendering: auto; }
figcaption { color: var(--soft); font-size: .8rem; text-align: center; margin-top: .25rem; }
.words p { margin: 0 0 .6rem; overflow-wrap: anywhere; }
.name { color: var(--soft); font-size: .85rem; }
.caption { font-size: 1.2rem; line-height: 1.35; font-weight: 600; }
.badge { display: inline-block; margin-left: .4rem; padding: 0 .5em; border-radius: 1em;
  border: 1px solid var(--line); white-space: nowrap; }
.badge.right { background: var(--right-bg); color: var(--right); border-color: transparent; }
.badge.wrong { background: var(--wrong-bg); color: var(--wrong); border-color: transparent; }
.references { border-left: 3px solid var(--line); padding-left: .75rem; margin: 0 0 .6rem; font-size:
.92rem; } .references p { color: var(--soft); font-size: .8rem; margin: 0; } .references ul { margin: 0;
padding: 0; list-style: none; } .references li { padding: .1rem 0; } .scores { display: flex; flex-wrap:
wrap; gap: .15rem 1.1rem; font-size: .85rem; color: var(--soft); } .scores b { color: var(--ink);
font-variant-numeric: tabular-nums; } .details, footer { color: var(--soft); font-size: .8rem;
overflow-wrap: anywhere; } footer { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid
var(--line); }
@media (max-width: 760px) { article { grid-template-columns: minmax(0, 1fr); } }
@media print { article { break-inside: avoid; } }
"""
