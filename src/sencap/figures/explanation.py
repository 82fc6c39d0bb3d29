"""The page of one explained caption: point at a word, and its map lies over both
images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sencap.figures.maps import ends, is_before, limits_of, part_title, relative
from sencap.figures.pages import gradient, map_uri, photo_uri, render
from sencap.figures.sheet import Map, ratio
from sencap.figures.words import DATE_NAMES, DATES_TITLE, NO_WORD_MAPS
from sencap.structures import ImagePair

_Limits = tuple[float, float]


@dataclass(frozen=True)
class _Overlay:
    """A map over one of the images, as the template draws it.

    address: its picture. said: what it shows in words, for those who do not see it.
    span: its least and greatest value; own_address: its picture on this scale.
    """

    name: str
    date: str
    address: str
    said: str
    span: tuple[str, str]
    own_address: str = ""


def explanation_page(
    pair: ImagePair,
    caption: str,
    *,
    words: Sequence[str],
    word_maps: Sequence[Map] | None,
    parts: Mapping[str, Map],
    attention: Mapping[str, Map],
    dates: Map | None = None,
    note: str = "",
) -> str:
    """The page as HTML. Arguments as `sencap.figures.words.draw_words`.

    attention: how much attention each cell received in each of the encoder's
    attentions, (h, w) summing to 1. Every map also stands on the page as a picture.
    """
    # One scale for all words: a word that looked nowhere in particular stays pale.
    shown_words, word_limits = _words(words, word_maps)
    return render(
        "explanation.html",
        title=f"Where it looked: {caption or '(empty caption)'}",
        caption=caption,
        note=note,
        no_word_maps=NO_WORD_MAPS if word_maps is None else "",
        photos=list(zip(("before", "after"), map(photo_uri, pair.images), strict=True)),
        aspect=1 / ratio(pair.images[0]),
        gradient=gradient(),
        words=shown_words,
        word_span=ends(*word_limits),
        dates=_dates(words, dates),
        dates_title=DATES_TITLE,
        date_names=DATE_NAMES,
        parts_of_memory=_parts(parts),
        attention=_attention(attention),
    )


def _words(
    words: Sequence[str], maps: Sequence[Map] | None
) -> tuple[list[_Overlay], _Limits]:
    """Each word with its map, and the scale that all of them share."""
    if not words or maps is None:
        return [], (0.0, 1.0)
    # Each map sums to 1; divided by its mean, 1 is an even share, whatever the grid's
    # size.
    shares = [relative(values) for values in maps]
    limits = _from_zero(shares)
    shown = []
    for word, values in zip(words, shares, strict=True):
        # Attention of words lies over the image after; each map also on its own scale,
        # which shows where it is highest.
        own = limits_of([values])
        shown.append(
            _Overlay(
                name=word,
                date="after",
                address=map_uri(values, limits),
                said=_said(word, values),
                span=ends(*own),
                own_address=map_uri(values, own),
            )
        )
    return shown, limits


def _from_zero(shares: Sequence[Map]) -> _Limits:
    """The common scale of maps of attention, which begins at none."""
    # A scale from the least value would show small differences as large ones.
    return (0.0, limits_of(shares)[1])


def _said(name: str, shares: Map) -> str:
    """A map of attention in words."""
    # For readers who do not see the map: where it is highest, and how high.
    row, column = np.unravel_index(int(shares.argmax()), shares.shape)
    most = float(shares.max())
    rows, columns = shares.shape
    return (
        f"“{name}”: most attention in row {row + 1} of {rows}, column {column + 1} "
        f"of {columns}, {100 * most / shares.size:.0f} % ({most:.1f} times an even "
        "share)"
    )


def _dates(words: Sequence[str], dates: Map | None) -> list[tuple[str, list[str]]]:
    """Each word with its three shares, as they are shown."""
    if dates is None:
        return []
    rows = []
    for word, shares in zip(words, dates, strict=True):
        rows.append((word, [f"{share:.2f}" for share in shares]))
    return rows


def _parts(parts: Mapping[str, Map]) -> dict[str, object] | None:
    """The maps of the parts, each on its own scale, and divided by its mean on a common
    one."""
    if not parts:
        return None
    # Parts differ in the size of their values, so they are compared after a division by
    # their mean.
    shares = {name: relative(values) for name, values in parts.items()}
    limits = limits_of(list(shares.values()))
    return {
        "own": [
            _part(name, values, values, limits_of([values]))
            for name, values in parts.items()
        ],
        "common": [
            _part(name, shares[name], values, limits) for name, values in parts.items()
        ],
        "span": ends(*limits),
    }


def _part(name: str, shown: Map, values: Map, limits: _Limits) -> _Overlay:
    """One part's map; shown: what is drawn of it, values: what is said of it."""
    # The numbers told are the map's own, also where the picture shows the divided ones.
    title = part_title(name)
    low, high = ends(float(values.min()), float(values.max()))
    return _Overlay(
        name=title,
        date=_date(name),
        address=map_uri(shown, limits),
        said=f"{title}, from {low}–{high}",
        span=(low, high),
    )


def _attention(attention: Mapping[str, Map]) -> dict[str, object] | None:
    if not attention:
        return None
    shares = {name: relative(values) for name, values in attention.items()}
    # One scale for all of the encoder's attentions, so that they can be compared.
    limits = _from_zero(list(shares.values()))
    maps = [
        _Overlay(
            name,
            _date(name),
            map_uri(values, limits),
            _said(name, values),
            ends(*limits),
        )
        for name, values in shares.items()
    ]
    return {"maps": maps, "span": ends(*limits)}


def _date(name: str) -> str:
    return "before" if is_before(name) else "after"
