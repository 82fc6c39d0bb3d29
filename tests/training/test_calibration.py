"""The temperature of the flag head: found again where it is known, and written where it
is used."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sencap.config import ChangeSettings, OptimisationSettings, TrainingSettings
from sencap.models.checkpoint import load_checkpoint
from sencap.training import fit as fit_module
from sencap.training.calibration import best_temperature
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


def test_training_writes_the_temperature_into_its_best_checkpoint(
    tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(
        tiny_training,
        change=ChangeSettings(flag=1.0),
        optimisation=OptimisationSettings(epochs=1),
    )
    best = fit(settings)
    found = load_checkpoint(best).settings.change.temperature
    assert 0.1 <= found <= 10.0
    monkeypatch.setattr(
        fit_module, "calibrate", None
    )  # a captioner without flag head needs none
    bare = dataclasses.replace(
        settings, change=ChangeSettings(), out=f"{settings.out}-bare"
    )
    assert load_checkpoint(fit(bare)).settings.change.temperature == 1.0
