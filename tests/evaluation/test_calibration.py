"""Calibration: the error of known probabilities, and where it stands in a report."""

from __future__ import annotations

import numpy as np
import pytest

from sencap.evaluation.calibration import calibration


def test_honest_probabilities_have_no_error_and_bold_ones_have() -> None:
    generator = np.random.default_rng(0)
    honest = generator.random(50_000)
    changed = (generator.random(len(honest)) < honest).tolist()
    found = calibration(honest.tolist(), changed)
    assert found is not None
    assert found["ece"] < 0.01
    assert len(found["bins"]) == 10
    bold = calibration(np.where(honest > 0.5, 1.0, 0.0).tolist(), changed)
    assert bold is not None
    assert bold["ece"] == pytest.approx(0.25, abs=0.01)
    assert [one["to"] for one in bold["bins"]] == [0.1, 1.0]


def test_pairs_of_which_nothing_is_known_are_left_out() -> None:
    found = calibration([0.9, None, 0.2, 0.4], [True, True, None, False])
    assert found == {
        "ece": 0.25,
        "pairs": 2,
        "bins": [
            {"from": 0.4, "to": 0.5, "pairs": 1, "probability": 0.4, "changed": 0.0},
            {"from": 0.9, "to": 1.0, "pairs": 1, "probability": 0.9, "changed": 1.0},
        ],
    }
    assert calibration([None], [True]) is None
