"""No number takes a run's time or memory without end."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sencap.bounds import BOUNDS, check_number, check_numbers
from sencap.cli import main
from sencap.config import OptimisationSettings
from sencap.errors import SettingsError
from sencap.pretraining.settings import ContrastSettings, SgdSettings

HUGE = 10**22


@pytest.mark.parametrize("name", BOUNDS)
def test_each_bound_is_kept_and_told(name: str) -> None:
    bound = BOUNDS[name]
    check_numbers(**{name: bound.least})
    check_numbers(**{name: bound.most})
    check_number(name, None)  # not given
    for value in (
        bound.least - 1,
        bound.most + 1,
        HUGE,
        -HUGE,
        10**1000,
        1.5,
        float("nan"),
        True,
        "3",
    ):
        with pytest.raises(
            SettingsError,
            match=rf"^{name} is .*; it must be a whole number from {bound.least:,} to",
        ):
            check_number(name, value)


@pytest.mark.parametrize(
    "command",
    [
        "caption a.png b.png --batch-size -1",
        "caption a.png b.png --batch-size 0",
        "caption a.png b.png --beam 0",
        f"caption a.png b.png --beam {HUGE}",
        f"explain a.png b.png -o x.html --beam {HUGE}",
        f"demo --beam {HUGE}",
        "evaluate --data d --limit -1",
        "evaluate --data d --limit 0",
        "evaluate --data d --batch-size 0",
        f"evaluate --data d --beam {HUGE}",
        "compare a b --resamples 10000000000",
        "compare a b --resamples 1",
        "compare a b --seed -1",
        "train --data d --out o --seed -1",
        f"train --data d --out o --seed {HUGE}",
        "train --data d --out o --loading.workers 10000",
        "train --data d --out o --loading.batch-size 0",
        "train --data d --out o --dimension 1000000",
        "train --data d --out o --decoder.layers 1000000",
        "train --data d --out o --size 100000",
        "train --data d --out o --hardware.devices 0",
        "pretrain --data d --out o --seed -1",
        "pretrain --data d --out o --workers 10000",
        f"pretrain --data d --out o --contrast.queue {HUGE}",
        "reproduce table1 --data d --workers 10000",
        "pack s o --stride 0",
        "pack s o --size 0",
        "pack s o --workers 10000",
        "synth o --pairs 1000000000000",
        "synth o --pairs 0",
        "synth o --seed -1",
        "synth o --workers 10000",
        "info sen --vocabulary-size 1000000000000",
        "info sen --dimension 1000000",
        "info sen --decoder.layers 1000000",
        "info sen --difference.kernel-size 100000",
    ],
)
def test_a_number_out_of_bounds_is_refused_before_any_work(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("sencap: error: ")
    assert "must be a whole number from" in error


@pytest.mark.parametrize(
    "command",
    [
        ["caption", "a.png", "b.png", "--weights", ""],
        ["caption", "", "b.png"],
        ["evaluate", "--data", ""],
        ["train", "--data", "d", "--out", ""],
        ["train", "--data", "d", "--out", "o", "--start", ""],
        ["train", "--data", "d", "--out", "o", "--extractor.init", ""],
        ["pretrain", "--data", "d", "--out", "o", "--init", ""],
        ["reproduce", "table1", "--data", "d", "--seeds", ""],
        ["pack", "", "o"],
        ["synth", ""],
    ],
)
def test_an_empty_text_is_a_mistake_and_no_default(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert "is empty" in capsys.readouterr().err


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -1.0])
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (OptimisationSettings, "learning_rate"), (OptimisationSettings, "extractor_learning_rate"),
        (OptimisationSettings, "weight_decay"), (SgdSettings, "learning_rate"),
        (SgdSettings, "weight_decay"), (ContrastSettings, "temperature"),
    ],
)  # fmt: skip
def test_an_amount_is_a_finite_number(settings: Any, name: str, value: float) -> None:
    with pytest.raises(
        SettingsError, match=rf"{name} is {value}; it must be (above|at least) 0"
    ):
        settings(**{name: value})
