"""Dates in names: as people write them, and as usual products of satellites and drones
have them.

| form | as in |
|---|---|
| 2020-06-04, 2020_06_04, 2020.06.04, 20200604 | Landsat, Sentinel, Planet |
| 20200604105031 and other times that follow at once | drones, Pléiades, SPOT |
| 2020156T105031, A2020156, doy2020156: year, day of year | HLS, MODIS, VIIRS, AppEEARS |
| LC81930272020156LGN00 | Landsat before its collections |
| 20JUN04105031 | WorldView, GeoEye |
| 2020156 between marks, where there is nothing better | anybody's |
"""

from __future__ import annotations

import datetime
import re
from itertools import chain

_MONTHS = [
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
]
_YEAR = r"(?P<year>\d{4})"
# Where any other number of seven digits could be meant
_RECENT = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?P<day_of_year>\d{3})"
_TIME = r"(?:(?P<hour>\d\d)(?P<minute>\d\d)(?:(?P<second>\d\d)\d?)?)"
_FORMS = [
    re.compile(pattern)
    for pattern in (
        # 2020-06-04; a time may follow with a letter T or an underscore before it
        rf"(?<!\d){_YEAR}([-_.]?)(?P<month>\d\d)\2(?P<day>\d\d)(?:[T_]{_TIME})?(?!\d)",
        rf"(?<!\d){_YEAR}(?P<month>\d\d)(?P<day>\d\d){_TIME}(?!\d)",
        rf"(?<!\d){_RECENT}{_DAY}T{_TIME}(?!\d)",
        rf"(?<![A-Za-z0-9])(?:A|doy){_RECENT}{_DAY}{_TIME}?(?!\d)",
        rf"(?<![A-Za-z0-9])L[A-Z]\d\d{{6}}{_RECENT}{_DAY}[A-Z]{{3}}\d\d",
        rf"(?<!\d)(?P<short_year>\d\d)(?P<month_name>{'|'.join(_MONTHS)})(?P<day>\d\d){_TIME}?(?!\d)",
    )
]
_BARE_DAY_OF_YEAR = re.compile(rf"(?<![A-Za-z0-9]){_RECENT}{_DAY}(?![A-Za-z0-9])")


def find_date(text: str, *, at_start: bool = False) -> datetime.date | None:
    """The first date in a name, in one of the forms at the head of this module; None if
    there is none.

    ``at_start`` takes it from the beginning only, as in a scene id
    ``20200604T054639_…``.
    """
    found = locate_date(text)
    if found is None or (at_start and found[1]):
        return None
    return found[0]


def locate_date(text: str) -> tuple[datetime.date, int, int] | None:
    """The first date in a name, and where it begins and ends, its time included."""
    for forms in (_FORMS, [_BARE_DAY_OF_YEAR]):
        # All forms first, then the leftmost match that is a date. The bare form, seven
        # digits alone, is asked only if no other found one.
        matches = chain.from_iterable(form.finditer(text) for form in forms)
        for match in sorted(matches, key=lambda match: match.start()):
            date = _date(match)
            if date is not None:
                return date, match.start(), match.end()
    return None


def _date(match: re.Match[str]) -> datetime.date | None:
    """The date that a match means; None where there is no such day or time:
    20209999."""
    told = match.groupdict()
    try:
        # A time that does not exist shows that the digits are no date and time.
        if told.get("hour"):
            datetime.time(
                int(told["hour"]), int(told["minute"]), int(told["second"] or 0)
            )
        if told.get("month_name"):
            month = _MONTHS.index(told["month_name"]) + 1
            return datetime.date(
                2000 + int(told["short_year"]), month, int(told["day"])
            )
        if told.get("day_of_year"):
            return _nth_day(int(told["year"]), int(told["day_of_year"]))
        return datetime.date(int(told["year"]), int(told["month"]), int(told["day"]))
    except ValueError:
        return None


def _nth_day(year: int, number: int) -> datetime.date:
    # Day 1 is the first of January.
    date = datetime.date(year, 1, 1) + datetime.timedelta(days=number - 1)
    if date.year != year:  # day 0, and day 366 of a year that has 365
        raise ValueError(number)
    return date
