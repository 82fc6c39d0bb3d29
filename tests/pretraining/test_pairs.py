"""Combinations of dates: which there are, how they are drawn, and what each method's
views show."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sencap.errors import ShapeError
from sencap.pretraining.pairs import View, combinations, draw_views
from sencap.pretraining.settings import Method, Order, SeasonUse

TEN = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)]


def drawn(
    method: Method,
    dates: int,
    order: Order = "ordered",
    season: SeasonUse = "augment",
    times: int = 4000,
) -> list[tuple[View, ...]]:
    generator = np.random.default_rng(0)
    return [
        draw_views(method, dates, order=order, season=season, generator=generator)
        for _ in range(times)
    ]


def test_four_seasons_have_ten_ordered_and_sixteen_unordered_combinations() -> None:
    assert combinations(4, "ordered") == TEN
    assert sorted(combinations(4, "unordered")) == sorted(
        {*TEN, *((j, i) for i, j in TEN)}
    )
    assert len(combinations(4, "unordered")) == 16


@pytest.mark.parametrize("dates", [2, 3, 5, 9])
def test_any_number_of_dates_has_its_combinations(dates: int) -> None:
    assert len(set(combinations(dates, "ordered"))) == dates * (dates + 1) // 2
    assert len(set(combinations(dates, "unordered"))) == dates**2
    assert all(i <= j for i, j in combinations(dates, "ordered"))


def test_one_date_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least two dates; this one has 1"):
        combinations(1, "ordered")
    with pytest.raises(ShapeError, match="at least two dates"):
        drawn("seco", 1, times=1)


@pytest.mark.parametrize(("order", "number"), [("ordered", 10), ("unordered", 16)])
def test_augment_draws_query_and_key_independently_and_uniformly(
    order: Order, number: int
) -> None:
    found = Counter(drawn("moco-6c", 4, order, times=100 * number**2))
    assert set(found) == {
        (a, b) for a in combinations(4, order) for b in combinations(4, order)
    }
    # mean 100, standard deviation 10: all of the up to 256 cells lie within six of them
    assert min(found.values()) > 40
    assert max(found.values()) < 160


def test_random_draws_one_combination_for_both() -> None:
    found = Counter(drawn("moco-6c", 4, season="random"))
    assert set(found) == {(a, a) for a in TEN}
    assert {q[0] for q, _ in drawn("moco-3c", 4, season="random")} == {0, 1, 2, 3}
    assert all(q == k for q, k in drawn("moco-3c", 4, season="random"))


def test_three_channels_see_one_date_each() -> None:
    assert set(drawn("moco-3c", 3)) == {
        ((a,), (b,)) for a in range(3) for b in range(3)
    }


def test_seco_shows_the_querys_date_in_the_last_key_and_others_in_the_first_two() -> (
    None
):
    for (q,), (k0,), (k1,), (k2,) in drawn("seco", 4):
        assert q == k2
        assert len({q, k0, k1}) == 3
    assert len(set(drawn("seco", 4))) == 4 * 3 * 2
    assert set(drawn("seco", 2)) == {((0,), (1,), (1,), (0,)), ((1,), (0,), (0,), (1,))}
