"""A page of captioned pairs: images with what was said of them, in one HTML file that
needs nothing else.

For an evaluation, ``choose`` picks the best, the worst and some random pairs; for a
demo, hand ``write_album`` any captioned pairs, with or without references and scores.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sencap.errors import SettingsError
from sencap.figures.pages import file_uri, render
from sencap.files import told_as_output, write_whole


@dataclass(frozen=True)
class Badge:
    """What a pair is, or what its caption says; kind: right, wrong, or "" where it is
    not known."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class ShownPair:
    """One captioned pair on the page.

    before, after: the bytes of a PNG, JPEG, GIF or WebP file. caption: what the
    captioner says. references: what people say. scores: names and figures shown under
    the caption, as they are to be read. changed: whether the pair is truly changed, if
    known. told: whether the caption says so. details: lines of small print.
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

    @property
    def photos(self) -> list[tuple[str, str]]:
        """Date and address of both images. Raises DataError for an image of another
        kind."""
        return [
            ("before", file_uri(self.before, self.title)),
            ("after", file_uri(self.after, self.title)),
        ]

    @property
    def badge(self) -> Badge | None:
        """What the pair is, or what the caption says, and whether the two agree."""
        # What is known of the pair, and what the caption says of it; either may be
        # missing.
        truth = {None: "", True: "changed", False: "unchanged"}[self.changed]
        told = {None: "", True: "change", False: "no change"}[self.told]
        # Without a truth nothing is right or wrong; without a caption's word only the
        # truth is shown.
        if not truth:
            return Badge(told) if told else None
        if not told:
            return Badge(truth)
        if self.told == self.changed:
            return Badge(f"{truth}, told right", "right")
        return Badge(f"{truth}, but told “{told}”", "wrong")


@dataclass(frozen=True)
class Section:
    """Some pairs under a heading, with a sentence on how they were chosen."""

    heading: str
    pairs: Sequence[ShownPair]
    text: str = ""


def choose(
    scores: Sequence[float | None], number: int, seed: int = 0
) -> dict[str, list[int]]:
    """Indices of the best, the worst and some random pairs, number (≥ 1) of each at
    most, none of them twice.

    scores: one per pair; None counts as the lowest. Ties are broken by the order of the
    pairs. With few pairs the best come first, then the worst. Raises SettingsError for
    a number below 1.
    """
    if number < 1:
        raise SettingsError(
            f"number is {number}, but at least 1 pair of each kind has to be shown"
        )
    # A pair without a score is as bad as can be: it is looked at with the worst.
    known = [float("-inf") if score is None else score for score in scores]
    # Python's sort is stable: pairs of equal scores keep their order.
    order = sorted(range(len(known)), key=known.__getitem__, reverse=True)
    # The worst are taken from what the best left over, and the random ones from the
    # rest.
    best = order[:number]
    worst = order[number:][::-1][:number]
    rest = sorted(set(order) - {*best, *worst})
    # A generator of its own, so that the choice is the same whatever ran before.
    drawn = random.Random(seed).sample(rest, min(number, len(rest)))
    return {"best": best, "worst": worst, "random": drawn}


def write_album(
    path: str | Path,
    sections: Sequence[Section],
    *,
    title: str,
    text: str = "",
    footer: str = "",
    calibration: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page and return its path; a page that was there is replaced whole.

    path: an .html file; missing folders are made. title, text: head of the page.
    footer: attribution of the images, signatures. calibration: of
    `sencap.evaluation.calibration`, drawn as a reliability diagram. All texts are
    plain, and escaped. Raises DataError for an image of another kind, OutputError for a
    page that cannot be written.
    """
    # All of the page is made before the file is touched.
    content = render_album(
        sections, title=title, text=text, footer=footer, calibration=calibration
    )
    path = Path(path)
    with told_as_output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, content)


def render_album(
    sections: Sequence[Section],
    *,
    title: str,
    text: str = "",
    footer: str = "",
    calibration: Mapping[str, Any] | None = None,
) -> str:
    """The HTML that ``write_album`` writes."""
    return render(
        "album.html",
        sections=sections,
        title=title,
        text=text,
        footer=footer,
        calibration=calibration,
    )
