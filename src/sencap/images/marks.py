"""Which of two dates a name is of: before and after, T1 and T2, 2018 and 2019.

The one place that knows it, for names of folders, of files and of columns.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sencap.dates import locate_date

# (0,) and (1,), or a year, a month of a year, a day: in the order of time.
Date = tuple[int, ...]

BEFORE: Date = (0,)
AFTER: Date = (1,)
# What names may have, the plainest first
_WORDS = (("before", "after"), ("pre", "post"), ("earlier", "later"), ("old", "new"))
SIGNS = (("1", "2"), ("a", "b"), ("0", "1"))
DATES = "dates"
BARE = "bare "

_EVENT = r"(?:[-_ ]?(?:disaster|event|change))?"  # pre_disaster, as xBD has it
_IMAGE = r"(?:images?|img|im|t|time|date|phase|period|epoch|pic|picture|photo)[-_ ]?"
_SEPARATORS = "_-. "
# What belongs to a pair and is no image of it: label1, targets, change_mask.
_LABEL = re.compile(
    r"(?i)(?:^|[_-])(?:labels?|targets?|masks?|gt|annotations?|outlines?)(?:[_-]?\w{1,6})?$"
)


class Mark(NamedTuple):
    """The date that a name tells, and the name without it; only dates of one kind are
    compared."""

    kind: str
    date: Date
    rest: str


def _alone(pattern: str) -> re.Pattern[str]:
    """A part of a name: no letters and digits at its sides."""
    return re.compile(rf"(?i)(?<![^\W_])(?:{pattern})(?![^\W_])")


def _patterns() -> dict[str, tuple[re.Pattern[str], re.Pattern[str]]]:
    """For each kind, dates apart: what tells the image before, and the one after."""
    found = {}
    for first, second in _WORDS:
        found[f"{first}/{second}"] = _alone(first + _EVENT), _alone(second + _EVENT)
    for first, second in SIGNS:
        found[f"{first}/{second}"] = _alone(_IMAGE + first), _alone(_IMAGE + second)
    for first, second in SIGNS[:2]:
        # Alone such a sign may be a number among many: it counts at a name's end only.
        bare = _alone(rf"{first}\Z"), _alone(rf"{second}\Z")
        found[f"{BARE}{first}/{second}"] = bare
    return found


_PATTERNS = _patterns()
_KINDS = [kind for kind in _PATTERNS if not kind.startswith(BARE)]
# All kinds, the plainest first: a word says more than a date, and a date more than a
# bare 1
MARK_KINDS = (*_KINDS, DATES, *(kind for kind in _PATTERNS if kind.startswith(BARE)))

WORD_KINDS = MARK_KINDS[: len(_WORDS)]


def read_mark(name: str, kind: str) -> Mark | None:
    """The date of that kind which a name tells, if it tells one.

    >>> read_mark("fire_01_post_disaster", "pre/post")
    Mark(kind='pre/post', date=(1,), rest='fire_01')
    """
    if kind == DATES:
        return _dated(name)
    for date, pattern in zip((BEFORE, AFTER), _PATTERNS[kind], strict=True):
        matches = list(pattern.finditer(name))
        if matches:  # the last: x_1_2 is the second image of x_1
            return Mark(kind, date, _without(name, *matches[-1].span()))
    return None


def _dated(name: str) -> Mark | None:
    """A day, a month of a year, or a year."""
    found = locate_date(name)
    if found is not None:
        day, begin, end = found
        return Mark(DATES, (day.year, day.month, day.day), _without(name, begin, end))
    match = re.search(r"(?<!\d)((?:19|20)\d\d)(?:[-_](0[1-9]|1[0-2]))?(?!\d)", name)
    if match is None:
        return None
    date = tuple(int(part) for part in match.groups() if part)
    return Mark(DATES, date, _without(name, *match.span()))


def _without(name: str, begin: int, end: int) -> str:
    # The separators at both sides of the date go with it: "x_2018_y" is left as "x_y",
    # as "x_2019_y" is.
    left, right = name[:begin].rstrip(_SEPARATORS), name[end:].lstrip(_SEPARATORS)
    return f"{left}_{right}" if left and right else left + right


def is_label(name: str) -> bool:
    """Whether a name is that of what belongs to pairs and is no image of them: label1,
    masks."""
    return _LABEL.search(name) is not None


def two_dates(names: Iterable[str]) -> list[tuple[str, str, str]]:
    """The kind, the earlier and the later of two names that differ in a date alone, the
    plainest first.

    For the names of few things, folders or columns: among them A and B, or 1 and 2, are
    dates only where there is no C and no 3.

    >>> two_dates(["label1", "label2", "im1", "im2"])
    [('1/2', 'im1', 'im2')]
    """
    names = [name for name in names if not is_label(name)]
    lower = {name.lower() for name in names}
    found = []
    for kind in MARK_KINDS:
        for rest, dated in group(names, kind).items():
            # Exactly two dates, and one name for each: with three it is not known which
            # two are meant.
            listed = [dated[date] for date in sorted(dated)]
            if len(listed) != 2 or any(len(same) > 1 for same in listed):
                continue
            # A bare A or 1 counts as the whole name only, and not where a C or a 3
            # shows that letters or numbers go on.
            if kind.startswith(BARE) and (rest or lower & {"c", "3"}):
                continue
            found.append((kind, listed[0][0], listed[1][0]))
    return found


def common_name(before: str, after: str) -> str:
    """What two names are without their dates; the first of them if they differ in more.

    >>> common_name("fire_01_pre_disaster", "fire_01_post_disaster")
    'fire_01'
    """
    if before == after:
        return before
    for kind in MARK_KINDS:
        one, other = read_mark(before, kind), read_mark(after, kind)
        if one is not None and other is not None and one.rest == other.rest != "":
            return one.rest
    return before


def group(names: Iterable[str], kind: str) -> Mapping[str, Mapping[Date, list[str]]]:
    """Names by what is left of them without a date of that kind, and by the date."""
    groups: dict[str, dict[Date, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        mark = read_mark(name, kind)
        if mark is not None:
            groups[mark.rest][mark.date].append(name)
    return groups
