"""Which dates of a place each view shows: I_ij = Concat(I_ti, I_tj), and the one-date
views of the comparisons."""

from __future__ import annotations

import itertools

import numpy as np

from sencap.errors import ShapeError
from sencap.pretraining.settings import Method, Order, SeasonUse

# The dates of one input, by their place in time: (i, j), or (i,).
View = tuple[int, ...]

# Which views go through the whole of Γ; the others are only cropped. The query is the
# first view.
AUGMENTED: dict[Method, tuple[bool, ...]] = {
    "moco-6c": (True, True),
    "moco-3c": (True, True),
    # The query; a key in which date and Γ differ, one in which the date does, one in
    # which Γ does.
    "seco": (False, True, False, True),
}


def combinations(dates: int, order: Order) -> list[View]:
    """All (i, j) of a place with so many dates, i for the first three channels.

    ``ordered``: i ≤ j in time, i = j allowed, so that the older image always comes
    first (D(D+1)/2: 10 of four seasons); ``unordered``: any (D²: 16).

    Raises:
        ShapeError: fewer than two dates.
    """
    if dates < 2:
        raise ShapeError(
            f"a place needs images of at least two dates; this one has {dates}"
        )
    if order == "unordered":
        return list(itertools.product(range(dates), repeat=2))
    return list(itertools.combinations_with_replacement(range(dates), 2))


def draw_views(
    method: Method,
    dates: int,
    *,
    order: Order,
    season: SeasonUse,
    generator: np.random.Generator,
) -> tuple[View, ...]:
    """Draw the dates of a place's views: the query's, then each key's (one; three for
    ``seco``).

    With ``season`` = augment query and key draw independently, all combinations being
    equally likely; with random one draw serves both. SeCo draws three different dates
    t0, t1, t2 (of two dates: t2 = t1) and shows t0 | t1 | t2 | t0.

    Raises:
        ShapeError: fewer than two dates.
    """
    choices = combinations(dates, order)
    # The query's date first, then the dates of the three keys.
    if method == "seco":
        t = [int(date) for date in generator.permutation(dates)]
        t2 = t[2] if dates > 2 else t[1]
        return (t[0],), (t[1],), (t2,), (t[0],)
    if method == "moco-3c":
        choices = [(date,) for date in range(dates)]
    query = choices[int(generator.integers(len(choices)))]
    # The same dates in both views: they differ by Γ alone.
    if season == "random":
        return query, query
    key = choices[int(generator.integers(len(choices)))]
    return query, key
