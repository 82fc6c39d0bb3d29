"""When the images of a scene were taken: said by the user, by a file's tags, or by its
name."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

from sencap.dates import find_date
from sencap.errors import SettingsError

# Tags that say when an image was taken, most certain first; TIFFTAG_DATETIME may be
# that of writing.
_TAKEN = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATE",
    "DATE_ACQUIRED",
    "SENSING_TIME",
    "datetime",
)
_WRITTEN = "TIFFTAG_DATETIME"


def image_dates(
    paths: Sequence[Path], tags: Sequence[Mapping[str, str]], given: Sequence[str] = ()
) -> list[str | None]:
    """The date of each image as 2018-04-26: given, else from its tags, else from its
    name; None where nothing tells it.

    Raises:
        SettingsError: given dates that are none, of another number, or not in their
            order.
    """
    if not given:
        return [_told(path, own) for path, own in zip(paths, tags, strict=True)]
    if len(given) != len(paths):
        raise SettingsError(
            f"dates names {len(given)}, but there are {len(paths)} images"
        )
    found = [_parsed(text) for text in given]
    if sorted(found) != found:
        raise SettingsError(
            f"dates={','.join(given)}: the earliest comes first, as the images do"
        )
    return [date.isoformat() for date in found]


def _parsed(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError as error:
        raise SettingsError(
            f"dates has {text!r}: dates are written like 2018-04-26, joined by commas"
        ) from error


def _told(path: Path, tags: Mapping[str, str]) -> str | None:
    # Names of tags are written in any case.
    known = {name.casefold(): value for name, value in tags.items()}
    texts = [known.get(name.casefold(), "") for name in _TAKEN]
    # Last the tag that may be of writing: TIFF writes 2018:04:26 10:50:31.
    texts += [path.name, known.get(_WRITTEN.casefold(), "").replace(":", "-", 2)]
    for text in texts:
        date = find_date(text)
        if date is not None:
            return date.isoformat()
    return None
