"""Captions of several systems side by side with the references; words that no reference
has are marked (Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sencap.errors import SettingsError
from sencap.figures.files import PAGE, check_path
from sencap.figures.pages import photo_uri, render
from sencap.figures.sheet import (
    INK,
    LINE,
    PALE,
    TWO_COLUMNS,
    VERMILION,
    Sheet,
    ratio,
    text_width,
)
from sencap.files import write_whole
from sencap.structures import ImagePair

_NOTE = "Bold and underlined: words that no reference of the pair has."
_BOTH = ("before", "after")
_REFERENCES, _EMPTY = "References", "(empty caption)"
_PUNCTUATION = ".,;:!?\"'()"
# inches
_SIDE = 1.25  # the width of an image
_GAP = 0.08  # between things
_EDGE = 0.1  # at the paper's edge
_SPACE = 0.035  # between words of 8 points
_LEADING = 0.05  # below each caption
_BETWEEN = 0.16  # from pair to pair


@dataclass(frozen=True)
class ComparedPair:
    """One pair, what people say of it, and what each system says: system → caption, in
    the order shown."""

    pair: ImagePair
    references: Sequence[str]
    captions: Mapping[str, str]
    name: str = ""


def marked_words(caption: str, references: Sequence[str]) -> list[tuple[str, bool]]:
    """The words of a caption, each with whether no reference has it. Case and
    punctuation do not count.

    >>> marked_words("a house appears", ["A house.", "the scene"])
    [('a', False), ('house', False), ('appears', True)]
    """
    # Words as sets: a word counts as known in whatever reference and place it stands.
    known = {_bare(word) for word in " ".join(references).split()}
    return [(word, _bare(word) not in known) for word in caption.split()]


def side_by_side(
    pairs: Sequence[ComparedPair], path: str | Path, *, title: str = "Captions compared"
) -> Path:
    """Draw the pairs below each other: images, references, each system's caption with
    its marked words.

    path: a .html page that needs nothing else, or a .png, .pdf or .svg file; ``title``
    heads the page. Returns the path.

    Raises:
        SettingsError: no pairs, or a path that cannot be.
        MissingDependencyError: a drawn picture, and matplotlib is not installed.
    """
    path = check_path(path)
    if not pairs:
        raise SettingsError("there is nothing to draw: give at least one pair")
    if path.suffix.lower() != PAGE:
        return _draw(pairs).save(path)
    shown = [_for_page(pair) for pair in pairs]
    return write_whole(
        path, render("compared.html", title=title, note=_NOTE, pairs=shown)
    )


def _bare(word: str) -> str:
    return word.lower().strip(_PUNCTUATION)


def _for_page(pair: ComparedPair) -> dict[str, object]:
    """What the template takes of a pair."""
    return {
        "name": pair.name,
        "photos": list(zip(_BOTH, map(photo_uri, pair.pair.images), strict=True)),
        "references": pair.references,
        "captions": {
            system: marked_words(caption, pair.references)
            for system, caption in pair.captions.items()
        },
    }


_Word = tuple[str, bool]  # a word, and whether it is marked
_Line = list[_Word]


@dataclass(frozen=True)
class _Block:
    """What stands at the right of a pair under one name: the references, or a system's
    caption."""

    name: str
    lines: list[_Line]

    @property
    def height(self) -> float:
        return LINE * len(self.lines) + _LEADING

    @property
    def colour(self) -> str:
        return PALE if self.name == _REFERENCES else INK

    @property
    def weight(self) -> str:
        return "normal" if self.name == _REFERENCES else "bold"


def _draw(pairs: Sequence[ComparedPair]) -> Sheet:
    # At the left the two images, then the names, then the texts in what is left of the
    # width.
    left = _EDGE + 2 * (_SIDE + _GAP) + _GAP
    names = {_REFERENCES}
    for pair in pairs:
        names.update(pair.captions)
    indent = max(text_width(name, bold=True) for name in names) + 0.12
    width = TWO_COLUMNS - left - indent - _EDGE
    # The paper's height is known only when all texts are broken into lines.
    blocks = [_blocks(pair, width) for pair in pairs]
    heights = [_height(pair, block) for pair, block in zip(pairs, blocks, strict=True)]

    sheet = Sheet(TWO_COLUMNS, sum(heights) + _BETWEEN * len(pairs) + LINE + 0.12)
    y = _GAP
    for pair, block, height in zip(pairs, blocks, heights, strict=True):
        _draw_photos(sheet, y, pair.pair)
        _draw_blocks(sheet, left, y, block, indent=indent)
        y += height + _BETWEEN
        rule = y - _BETWEEN / 2
        sheet.rule(_EDGE, rule, TWO_COLUMNS - 2 * _EDGE, colour="#c8ccd0", width=0.5)
    sheet.text(_EDGE, y, _NOTE, color=PALE)
    return sheet


def _height(pair: ComparedPair, blocks: Sequence[_Block]) -> float:
    """Of the images with their dates, or of the texts, whichever is higher."""
    images = _SIDE * ratio(pair.pair.images[0]) + LINE
    return max(images, sum(block.height for block in blocks))


def _draw_photos(sheet: Sheet, y: float, pair: ImagePair) -> None:
    x = _EDGE
    for image, date in zip(pair.images, _BOTH, strict=True):
        height = sheet.image(x, y, _SIDE, image)
        sheet.text(x + _SIDE / 2, y + height + 0.02, date, ha="center", color=PALE)
        x += _SIDE + _GAP


def _draw_blocks(
    sheet: Sheet, x: float, y: float, blocks: Sequence[_Block], *, indent: float
) -> None:
    for block in blocks:
        sheet.text(x, y, block.name, weight=block.weight, color=block.colour)
        for number, line in enumerate(block.lines):
            _draw_line(sheet, x + indent, y + number * LINE, line, block.colour)
        y += block.height


def _blocks(pair: ComparedPair, width: float) -> list[_Block]:
    references = _Block(_REFERENCES, [])
    for text in pair.references:
        plain = [(word, False) for word in text.split()]
        # Each begins on a line of its own.
        references.lines.extend(_wrapped(plain, width))
    blocks = [references]
    for system, caption in pair.captions.items():
        words = marked_words(caption, pair.references) or [(_EMPTY, False)]
        blocks.append(_Block(system, _wrapped(words, width)))
    return blocks


def _wrapped(words: Sequence[_Word], width: float) -> list[_Line]:
    lines: list[_Line] = [[]]
    used = 0.0
    for text, new in words:
        wide = text_width(text, bold=new) + _SPACE
        if lines[-1] and used + wide > width:
            lines.append([])
            used = 0.0
        lines[-1].append((text, new))
        used += wide
    return lines


def _draw_line(sheet: Sheet, x: float, y: float, words: _Line, colour: str) -> None:
    for text, new in words:
        wide = text_width(text, bold=new)
        if new:
            sheet.text(x, y, text, weight="bold", color=VERMILION)
            sheet.rule(x, y + LINE * 0.9, wide, colour=VERMILION)
        else:
            sheet.text(x, y, text, weight="normal", color=colour)
        x += wide + _SPACE
