"""The temperature of the flag head: found again where it is known, and written where it
is used."""

from __future__ import annotations

import dataclasses
import logging
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.config import ChangeSettings, OptimisationSettings, TrainingSettings
from sencap.models.checkpoint import load_checkpoint
from sencap.training import fit as fit_module
from sencap.training.calibration import TEMPERATURES, best_temperature
from sencap.training.fit import fit


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(true: float) -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, 20_000)  # logits whose probabilities are right
    changed = generator.random(len(honest)) < 1 / (1 + np.exp(-honest))
    assert best_temperature(true * honest, changed) == pytest.approx(true, rel=0.05)


def test_of_pairs_that_are_all_alike_nothing_is_learnt() -> None:
    assert best_temperature(np.array([3.0, -2.0]), np.array([True, True])) == 1.0
    assert best_temperature(np.array([3.0, -2.0]), np.array([False, False])) == 1.0


def test_logits_that_are_always_right_stay_finite() -> None:
    logits = np.array([900.0, -900.0])
    assert 0.1 <= best_temperature(logits, np.array([True, False])) <= 10.0


@given(
    st.lists(st.floats(0.5, 20), min_size=1, max_size=8),
    st.lists(st.floats(0.5, 20), min_size=1, max_size=8),
)
def test_few_pairs_never_make_the_flags_too_sure(
    changed: list[float], unchanged: list[float]
) -> None:
    """However right the head is about n pairs of each kind, what it tells of them is,
    on the mean, at most as sure as n pairs allow: Laplace's (n + 1) / (n + 2)."""
    sizes = np.array([*changed, *unchanged])
    kinds = np.repeat([True, False], [len(changed), len(unchanged)])
    temperature = best_temperature(np.where(kinds, sizes, -sizes), kinds)
    if temperature == TEMPERATURES.max():
        return  # less sure would be beyond the end of what is tried
    # What is said to be true, of each pair, and the most that may be.
    told = 1 / (1 + np.exp(-sizes / temperature))
    alike = np.where(kinds, len(changed), len(unchanged))
    allowed = (alike + 1) / (alike + 2)
    # A step of 1.2 % between the temperatures moves a probability by less than 0.01.
    assert np.average(told - allowed, weights=sizes) < 0.01


def test_two_pairs_say_little() -> None:
    # Without Platt's targets it is 0.1, and both are told with a probability of 1.
    temperature = best_temperature(np.array([1.0, -1.0]), np.array([True, False]))
    assert 1 / (1 + np.exp(-1 / temperature)) == pytest.approx(2 / 3, abs=0.01)


def test_training_writes_the_temperature_into_its_best_checkpoint(
    tiny_training: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = dataclasses.replace(
        tiny_training,
        change=ChangeSettings(flag=1.0),
        optimisation=OptimisationSettings(epochs=1),
    )
    with caplog.at_level(logging.INFO):
        best = fit(settings)
    told = r"temperature is .*, found on \d+ changed and \d+ unchanged"
    assert re.search(told, caplog.text)
    found = load_checkpoint(best).settings.change.temperature
    assert 0.1 <= found <= 10.0
    # A captioner without flag head needs none.
    monkeypatch.setattr(fit_module, "calibrate", None)
    bare = dataclasses.replace(
        settings, change=ChangeSettings(), out=f"{settings.out}-bare"
    )
    assert load_checkpoint(fit(bare)).settings.change.temperature == 1.0
