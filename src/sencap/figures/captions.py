"""Captions of several systems side by side with the references; words that no reference has are
marked (Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from sencap.errors import SettingsError
from sencap.figures.files import PAGE, check_path
from sencap.figures.page import data_uri, render
from sencap.figures.sheet import INK, LINE, PALE, TWO_COLUMNS, VERMILION, Sheet, ratio, text_width
from sencap.files import write_whole
from sencap.structures import ImagePair

NOTE = "Bold and underlined: words that no reference of the pair has."
_SIDE, _GAP, _EDGE = (
    1.25,
    0.08,
    0.1,
)  # inches: width of an image, between things, at the paper's edge
_PUNCTUATION = ".,;:!?\"'()"


@dataclass(frozen=True)
class ComparedPair:
    """One pair, what people say of it, and what each system says: system → caption, in the order
    shown."""

    pair: ImagePair
    references: Sequence[str]
    captions: Mapping[str, str]
    name: str = ""


def marked_words(caption: str, references: Sequence[str]) -> list[tuple[str, bool]]:
    """The words of a caption, each with whether no reference has it. Case and punctuation do not
    count.

    >>> marked_words("a house appears", ["A house.", "the scene"])
    [('a', False), ('house', False), ('appears', True)]
    """
    known = {_bare(word) for reference in references for word in reference.split()}
    return [(word, _bare(word) not in known) for word in caption.split()]


def side_by_side(
    pairs: Sequence[ComparedPair], path: str | Path, *, title: str = "Captions compared"
) -> Path:
    """Draw the pairs below each other: images, references, each system's caption with its marked
    words.

    path: a .html page that needs nothing else, or a .png, .pdf or .svg file; ``title`` heads the
    page. Returns the path.

    Raises:
        SettingsError: no pairs, or a path that cannot be.
        MissingDependencyError: a drawn picture, and matplotlib is not installed.
    """
    path = check_path(path)
    if not pairs:
        raise SettingsError("there is nothing to draw: give at least one pair")
    if path.suffix.lower() == PAGE:
        body = "\n".join(_article(pair) for pair in pairs)
        lead = f"<p class='lead'>{NOTE}</p>"
        return write_whole(path, render(title, f"<h1>{escape(title)}</h1>{lead}{body}"))
    return _draw(pairs).save(path)


def _bare(word: str) -> str:
    return word.lower().strip(_PUNCTUATION)


def _article(pair: ComparedPair) -> str:
    images = "".join(
        f"<figure><img class='photo' src='{data_uri(image)}' alt='{escape(pair.name)} {date}'>"
        f"<figcaption>{date}</figcaption></figure>"
        for image, date in zip(pair.pair.images, ("before", "after"), strict=True)
    )
    name = f"<p class='small'>{escape(pair.name)}</p>" if pair.name else ""
    references = "".join(f"<li>{escape(reference)}</li>" for reference in pair.references)
    captions = "".join(
        f"<dt>{escape(system)}</dt><dd>{_html_words(caption, pair.references)}</dd>"
        for system, caption in pair.captions.items()
    )
    return (
        f"<article class='compared'><div class='two'>{images}</div><div>{name}<p "
        "class='small'>References</p><ul "
        f"class='references'>{references}</ul><dl>{captions}</dl></div></article>"
    )


def _html_words(caption: str, references: Sequence[str]) -> str:
    words = [
        f"<mark title='in no reference'>{escape(word)}</mark>" if new else escape(word)
        for word, new in marked_words(caption, references)
    ]
    return " ".join(words) or "<em>(empty caption)</em>"


_Word = tuple[str, bool]  # a word, and whether it is marked


def _draw(pairs: Sequence[ComparedPair]) -> Sheet:
    left = _EDGE + 2 * (_SIDE + _GAP) + 0.08
    systems = [system for pair in pairs for system in pair.captions]
    label = max(text_width(name, bold=True) for name in ["References", *systems]) + 0.12
    width = TWO_COLUMNS - left - label - _EDGE
    blocks = [_lines(pair, width) for pair in pairs]
    heights = [
        max(
            _SIDE * ratio(pair.pair.images[0]) + LINE,
            sum(LINE * len(lines) + 0.05 for _, lines in block),
        )
        for pair, block in zip(pairs, blocks, strict=True)
    ]
    sheet = Sheet(TWO_COLUMNS, sum(heights) + 0.16 * len(pairs) + LINE + 0.12)
    y = 0.08
    for pair, block, height in zip(pairs, blocks, heights, strict=True):
        for number, date in enumerate(("before", "after")):
            x = _EDGE + number * (_SIDE + _GAP)
            shown = sheet.image(x, y, _SIDE, pair.pair.images[number])
            sheet.text(x + _SIDE / 2, y + shown + 0.02, date, ha="center", color=PALE)
        top = y
        for name, lines in block:
            reference = name == "References"
            sheet.text(
                left,
                top,
                name,
                weight="normal" if reference else "bold",
                color=PALE if reference else INK,
            )
            for line in lines:
                _draw_line(sheet, left + label, top, line, PALE if reference else INK)
                top += LINE
            top += 0.05
        y += height + 0.16
        sheet.rule(_EDGE, y - 0.08, TWO_COLUMNS - 2 * _EDGE, colour="#c8ccd0", width=0.5)
    sheet.text(_EDGE, y, NOTE, color=PALE)
    return sheet


def _lines(pair: ComparedPair, width: float) -> list[tuple[str, list[list[_Word]]]]:
    """What stands at the right of a pair: a name, and its text in lines."""
    references = [
        line
        for text in pair.references
        for line in _wrapped([(w, False) for w in text.split()], width)
    ]
    captions = [
        (
            system,
            _wrapped(marked_words(caption, pair.references) or [("(empty caption)", False)], width),
        )
        for system, caption in pair.captions.items()
    ]
    return [("References", references), *captions]


def _wrapped(words: Sequence[_Word], width: float) -> list[list[_Word]]:
    lines: list[list[_Word]] = [[]]
    used = 0.0
    for text, new in words:
        wide = text_width(text, bold=new) + _SPACE
        if lines[-1] and used + wide > width:
            lines.append([])
            used = 0.0
        lines[-1].append((text, new))
        used += wide
    return lines


def _draw_line(sheet: Sheet, x: float, y: float, words: Sequence[_Word], colour: str) -> None:
    for text, new in words:
        wide = text_width(text, bold=new)
        sheet.text(
            x, y, text, weight="bold" if new else "normal", color=VERMILION if new else colour
        )
        if new:
            sheet.rule(x, y + LINE * 0.9, wide, colour=VERMILION)
        x += wide + _SPACE


_SPACE = 0.035  # inches between words of 8 points
