"""Results come in order, from a bounded number of threads and of results that wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.ahead import ahead


@given(st.lists(st.integers(), max_size=30), st.integers(1, 4), st.integers(1, 9))
def test_results_come_in_order_whatever_the_threads(
    items: list[int], threads: int, most: int
) -> None:
    found = list(ahead(lambda x: 2 * x, items, threads=threads, most=most))
    assert found == [2 * x for x in items]


def test_no_more_than_the_bound_is_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = ahead(lambda x: x, items(), threads=2, most=5)
    for asked in range(20):
        next(results)
        assert len(taken) <= asked + 6
    results.close()  # type: ignore[attr-defined]  # a generator


def test_work_is_done_while_the_caller_is_busy() -> None:
    done = threading.Event()

    def slow(number: int) -> int:
        if number == 1:
            done.set()
        return number

    results = ahead(slow, range(3), most=2)
    assert next(results) == 0
    assert done.wait(5), "the second was begun before it was asked for"
    assert list(results) == [1, 2]


def test_an_error_comes_up_in_its_place_and_ends_the_threads() -> None:
    def fail(number: int) -> int:
        if number == 3:
            raise ValueError("the third")
        return number

    results = ahead(fail, range(10), most=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(results)
    deadline = time.monotonic() + 5
    while any(
        thread.name.startswith("sencap-ahead") for thread in threading.enumerate()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)
