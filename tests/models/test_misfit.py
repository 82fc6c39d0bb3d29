"""Tensors that do not fit are counted, and three of them named."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sencap.models.misfit import misfit


@dataclass(frozen=True)
class Shape:
    """As much of a tensor as is looked at."""

    shape: tuple[int, ...]


def tensors(names: list[str], *shape: int) -> dict[str, Shape]:
    return {name: Shape(shape) for name in names}


def test_what_fits_has_no_misfit() -> None:
    assert misfit(tensors(["a", "b"], 2, 3), tensors(["b", "a"], 2, 3)) is None


@pytest.mark.parametrize(
    ("wanted", "found", "said"),
    [
        (
            tensors(["a"], 2),
            tensors(["a"], 3),
            "1 tensor of another shape (a is (2,) here and (3,) there)",
        ),
        (tensors(["a"], 2), {}, "1 tensor missing (a (2,))"),
        ({}, tensors(["a"], 2, 3), "1 tensor unknown (a (2, 3))"),
        (
            tensors(["a"], 2),
            tensors(["b"], 2),
            "1 tensor missing (a (2,)), 1 tensor unknown (b (2,))",
        ),
        (
            tensors(list("abcde"), 2),
            {},
            "5 tensors missing (a (2,), b (2,), c (2,), …)",
        ),
    ],
)
def test_the_kinds_of_misfit(
    wanted: dict[str, Shape], found: dict[str, Shape], said: str
) -> None:
    assert misfit(wanted, found) == said


def test_no_misfit_takes_more_than_600_letters() -> None:
    """However many tensors there are, and however long a stranger's names and shapes
    are."""
    names = [f"{number}{'x' * 10_000}" for number in range(300)]
    wanted = {**tensors(names[:200], *[10] * 64), **tensors(["same"], 1)}
    found = {**tensors(names[100:], *[11] * 64), **tensors(["same"], 1)}
    text = misfit(wanted, found)
    assert text is not None
    assert "100 tensors of another shape" in text
    assert "100 tensors missing" in text
    assert "100 tensors unknown" in text
    assert len(text) <= 600
