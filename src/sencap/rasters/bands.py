"""Which bands of a raster are red, green and blue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sencap.errors import SettingsError

Wanted = Sequence[int | str]  # bands by number from 1, or by name

# what the bands of usual products are called: Sentinel-2's, Landsat 8's and 9's, and in
# words
_NAMES = (
    ("red", "r", "b04", "b4", "sr_b4", "red band"),
    ("green", "g", "b03", "b3", "sr_b3", "green band"),
    ("blue", "b", "b02", "b2", "sr_b2", "blue band"),
)
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Bands:
    """The numbers of the bands taken for R, G and B, from 1 (one number: grey), and
    what told them: given, names, colours (of the file's own interpretation), or
    order."""

    numbers: tuple[int, ...]
    told_by: str


def check_bands(bands: Wanted | None) -> None:
    """Refuse what cannot be three bands, or one.

    Raises:
        SettingsError: another count, a number below 1, or an empty name.
    """
    if bands is None:
        return
    numbers = [band for band in bands if not isinstance(band, str)]
    if len(bands) not in (1, 3) or any(number < 1 for number in numbers) or "" in bands:
        raise SettingsError(
            f"bands={list(bands)} must be three numbers from 1, or names: those of "
            "R, G and B"
        )


def choose_bands(
    count: int,
    *,
    names: Sequence[str | None] = (),
    colours: Sequence[str] = (),
    wanted: Wanted | None = None,
    alpha: int | None = None,
) -> Bands:
    """The bands of a file of ``count`` bands that are R, G and B.

    Those that are wanted; else those whose names say so (blue, green, red; B02, B03,
    B04); else those whose colour interpretation does; else the first three, or the
    first if there are fewer. ``alpha`` is the number of the band that is none of them.

    Raises:
        SettingsError: wanted bands that the file does not have.
    """
    known = [_spelt(name or "") for name in names]
    seen = [colour.casefold() for colour in colours]
    if wanted is not None:
        return Bands(
            tuple(_number(band, count, known, seen) for band in wanted), "given"
        )
    # Names come first: a colour interpretation is often only the writer's default for
    # the first three bands.
    for told_by, titles, aliases in (
        ("names", known, _NAMES),
        ("colours", seen, [(one,) for one in _COLOURS]),
    ):
        found = [_first(titles, several) for several in aliases]
        # All three or none: red by name beside green by position would mix two
        # conventions.
        if None not in found:
            return Bands(
                tuple(number for number in found if number is not None), told_by
            )
    free = [number for number in range(1, count + 1) if number != alpha]
    return Bands(tuple(free[: 3 if len(free) >= 3 else 1]), "order")


def _spelt(name: str) -> str:
    """A band's name as it is compared: "B4, central wavelength 665 nm" is b4, "Red (665
    nm)" is red, "T32TQM_20200101_B04_10m" is b04; "red edge" stays."""
    # What follows a comma or bracket is an explanation; a band number may stand
    # anywhere in a product's name, but not as a part of another word.
    plain = re.split(r"[,(:;]", name.strip().casefold())[0].strip()
    number = re.search(r"(?<![^\W_])((?:sr_)?b\d{1,2}a?)(?![^\W_])", plain)
    return number[1] if number else plain


def _first(titles: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The number of the first band with one of the wanted titles."""
    for name in wanted:
        if name in titles:
            return titles.index(name) + 1
    return None


def _number(
    band: int | str, count: int, names: Sequence[str], colours: Sequence[str]
) -> int:
    """The number of a band that the user names."""
    if not isinstance(band, str):
        if band <= count:
            return band
        raise SettingsError(f"it has {count} bands, but band {band} is wanted")
    title = _spelt(band)
    # a name's other spellings too: red for B04
    spellings = [aliases for aliases in _NAMES if title in aliases]
    for titles, wanted in ((names, (title,)), *((names, one) for one in spellings)):
        found = _first(titles, wanted)
        if found is not None:
            return found
    if title in colours:
        return colours.index(title) + 1
    told = ", ".join(name for name in names if name) or "none"
    raise SettingsError(f"it has no band named {band!r}; the names that it has: {told}")
