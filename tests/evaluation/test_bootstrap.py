from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.caption_sets import SAME, Numbers, needs_java
from sencap.errors import SettingsError, ShapeError
from sencap.evaluation.bootstrap import (
    Spread,
    draws,
    intervals,
    p_value,
    resample,
    resample_subset,
    seed_weights,
    why_no_interval,
)
from sencap.evaluation.metrics import Floats
from sencap.evaluation.names import ACCURACY, METRICS, SUBSETS
from sencap.evaluation.planning import Z_BOTH, pairs_needed, seeds_needed, smallest_gain
from sencap.evaluation.protocol import Evaluation, ScoredPair, score_pairs
from sencap.evaluation.statistics import PairStatistics, System, members

CHANGES = [
    "a road is built", "many houses are built along the road", "some houses appear", "a lake "
        "appears",
    "many houses are built", "trees are removed", "two houses are built along the road",
]  # fmt: skip
NUMBERS = Numbers.seen([sentence.split() for sentence in [*CHANGES, SAME]], 2)


def made_up(pairs: int, seed: int, skill: float = 0.7) -> list[ScoredPair]:
    """Half changed; references depend on the number only, and the captions on seed and
    skill."""
    made = []
    for number in range(pairs):
        truth, draw = random.Random(number), random.Random(1000 * seed + number)
        changed = number % 2 == 0
        references = [
            truth.choice(CHANGES).split() if changed else SAME.split() for _ in range(5)
        ]
        said = (
            draw.choice(references)
            if draw.random() < skill
            else draw.choice([*CHANGES, SAME, ""]).split()
        )
        made.append(ScoredPair(f"{number}.png", references, said, -0.5, changed))
    return made


@pytest.fixture
def no_java(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java for what follows; the shared evaluation is made before."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return score_pairs(made_up(60, seed=1), NUMBERS, rows=False)


def assert_point_estimates(evaluation: Evaluation) -> None:
    columns = evaluation.system.columns()
    for subset in SUBSETS:
        found = dict(zip(columns, evaluation.system.scores(subset)[0], strict=True))
        for protocol in ("ids", "words"):
            for metric, score in evaluation.scores[protocol][subset].items():
                if score is None:
                    assert np.isnan(found[protocol, metric])
                else:
                    assert found[protocol, metric] == pytest.approx(score, abs=1e-9), (
                        subset,
                        metric,
                    )
    accuracy = dict(zip(columns, evaluation.system.scores("all")[0], strict=True))[
        "", ACCURACY
    ]
    if evaluation.change_accuracy is None:
        assert np.isnan(accuracy)
    else:
        assert accuracy == pytest.approx(100 * evaluation.change_accuracy)


@needs_java
def test_unit_weights_give_the_scores_of_the_report(evaluation: Evaluation) -> None:
    assert evaluation.has_meteor
    assert_point_estimates(evaluation)


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("kept", [slice(0, 1), slice(1, 2), slice(0, 60, 2)])
def test_so_do_they_without_java_and_where_a_subset_is_empty(kept: slice) -> None:
    assert_point_estimates(score_pairs(made_up(60, seed=1)[kept], NUMBERS, rows=False))


@given(st.lists(st.integers(0, 3), min_size=60, max_size=60).filter(any))
@settings(max_examples=25, deadline=None)
def test_a_weight_is_as_many_copies_of_a_pair(
    evaluation: Evaluation, counts: list[int]
) -> None:
    """All metrics at once; CIDEr too, since its n-gram weights are held."""
    system = evaluation.system
    copies = np.repeat(np.arange(60), counts)
    repeated = System(
        {
            name: PairStatistics(
                one.bleu[copies],
                one.rouge[copies],
                one.cider[copies],
                None if one.meteor is None else one.meteor[copies],
            )
            for name, one in system.protocols.items()
        },
        system.changed[copies],
        system.right[copies],
    )
    for subset in SUBSETS:
        weights = np.array(counts, dtype=float)[members(system.changed, subset)]
        if weights.any():
            np.testing.assert_allclose(
                system.scores(subset, weights[None]),
                repeated.scores(subset),
                atol=1e-9,
                rtol=0,
            )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.85])
def test_the_error_of_a_share_is_the_binomial_one(share: float) -> None:
    hits = np.arange(400) < 400 * share
    values = resample(lambda weights: weights @ hits / 400, 400)
    spread = Spread.of(values)
    assert spread is not None
    error = np.sqrt(share * (1 - share) / 400)
    assert spread.error == pytest.approx(error, rel=0.03)
    assert [spread.low, spread.high] == pytest.approx(
        [share - 1.96 * error, share + 1.96 * error], abs=0.006
    )


def test_a_95_percent_interval_holds_the_truth_in_95_percent() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for trial in range(400):
        sample = generator.standard_normal(80) / 80
        spread = Spread.of(
            resample(partial(np.dot, b=sample), 80, resamples=800, seed=trial)
        )
        assert spread is not None
        held += spread.low <= 0 <= spread.high
    assert 0.91 <= held / 400 <= 0.98


def test_draws_are_seeded_and_do_not_depend_on_the_block() -> None:
    def identity(weights: Floats) -> Floats:
        return weights

    first = resample(identity, 30, resamples=200, seed=4)
    assert (first.sum(axis=1) == 30).all()
    np.testing.assert_array_equal(first, resample(identity, 30, resamples=200, seed=4))
    np.testing.assert_array_equal(
        first[:150], resample(identity, 30, resamples=150, seed=4)
    )
    assert (first != resample(identity, 30, resamples=200, seed=5)).any()
    assert (first != resample(identity, 30, resamples=200, seed=4, stream=1)).any()
    assert [len(block) for block in draws(1_000_000, 3, np.random.default_rng(0))] == [
        2,
        1,
    ]


@pytest.mark.parametrize(
    ("resamples", "seed", "message"),
    [
        (99, 0, "resamples is 99"),
        (-1, 0, "resamples is -1"),
        (10**10, 0, "resamples is 10000000000"),
        (10**5000, 0, "resamples is a number of more than 30 digits"),
        (100, -1, "seed is -1"),
        (100, 2**32, "seed is 4294967296"),
    ],
    ids=range(6),
)
def test_resamples_and_seeds_out_of_bounds_are_refused(
    resamples: int, seed: int, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        resample(lambda weights: weights, 5, resamples=resamples, seed=seed)


@pytest.mark.usefixtures("no_java")
def test_intervals_hold_their_scores_and_are_null_where_there_are_none(
    evaluation: Evaluation,
) -> None:
    found = intervals(evaluation.system, resamples=500)
    assert set(found) == {"ids", "words", "change_accuracy", "method"}
    for subset in SUBSETS:
        for metric in METRICS:
            score, bounds = (
                evaluation.scores["ids"][subset][metric],
                found["ids"][subset][metric],
            )
            # The latter is always 0 here.
            if score is None or (subset, metric) == ("unchanged", "CIDEr"):
                assert bounds is None
            else:
                assert bounds[0] - 1e-9 <= score <= bounds[1] + 1e-9
    low, high = found["change_accuracy"]["all"]
    assert evaluation.change_accuracy is not None
    assert 0 <= low <= evaluation.change_accuracy <= high <= 1
    changed_only = score_pairs(made_up(2, seed=1)[:1], NUMBERS, rows=False)
    assert set(
        intervals(changed_only.system, resamples=100)["words"]["unchanged"].values()
    ) == {None}


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize(
    ("pairs", "known"), [(1, False), (2, False), (9, False), (10, True)]
)
def test_few_pairs_have_no_interval(pairs: int, known: bool) -> None:
    evaluation = score_pairs(made_up(pairs, seed=1), NUMBERS, rows=False)
    found = intervals(evaluation.system, resamples=200)
    assert (found["words"]["all"]["ROUGE-L"] is not None) == known
    assert set(found["words"]["changed"].values()) == {None}


@pytest.mark.parametrize(
    ("pairs", "values", "reason"),
    [
        (1, [1.0, 2.0], "too few pairs (1) for an interval"),
        (9, [1.0, 2.0], "too few pairs (9) for an interval"),
        (10, [1.0, 2.0], None),
        (10, [0.0, 0.0], "the same in every resample"),
        (1000, [7.0, 7.0], "the same in every resample"),
        # 0.00 and 0.00, as they are shown.
        (1000, [0.001, -0.001], "the same in every resample"),
        (1000, [np.nan, 1.0], "not to be had"),
    ],
    ids=range(7),
)
def test_why_there_is_no_interval(
    pairs: int, values: list[float], reason: str | None
) -> None:
    assert why_no_interval(pairs, np.array(values)) == reason


@pytest.mark.usefixtures("no_java")
def test_the_paired_error_of_like_systems_is_smaller_than_the_unpaired_one(
    evaluation: Evaluation,
) -> None:
    nearly = [
        pair
        if number % 9
        else ScoredPair(pair.filename, pair.references, [], -0.5, pair.changed)
        for number, pair in enumerate(evaluation.pairs)
    ]
    other = score_pairs(nearly, NUMBERS, rows=False).system
    column = other.columns().index(("words", "ROUGE-L"))
    one, two = (
        resample_subset(s, "all", resamples=2000)[:, column]
        for s in (evaluation.system, other)
    )
    unpaired = resample_subset(other, "all", resamples=2000, seed=9)[:, column]
    assert (one - two).std() < 0.8 * (one - unpaired).std()


def test_weights_of_seeds_give_the_unbiased_variance_of_a_mean() -> None:
    assert (seed_weights(1, 100) == 1).all()
    scores = np.array([70.0, 71.0, 73.0])
    weights = seed_weights(3, 200_000)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    values = weights @ scores
    assert values.mean() == pytest.approx(scores.mean(), abs=0.02)
    assert values.var() == pytest.approx(scores.var(ddof=1) / 3, rel=0.02)
    assert (seed_weights(3, 100, side=0) != seed_weights(3, 100, side=1)).any()


def test_p_values() -> None:
    assert p_value(np.zeros(999)) == 1.0
    assert p_value(np.ones(999)) == pytest.approx(2 / 1000)
    assert p_value(-np.ones(999)) == pytest.approx(2 / 1000)
    assert p_value(np.array([-1.0] * 50 + [1.0] * 949)) == pytest.approx(2 * 51 / 1000)


def test_statistics_survive_json_and_wrong_shapes_do_not(
    evaluation: Evaluation,
) -> None:
    for statistics in evaluation.system.protocols.values():
        again = PairStatistics.from_rows(statistics.rows())
        for name in ("bleu", "rouge", "cider", "meteor"):
            np.testing.assert_array_equal(
                getattr(again, name), getattr(statistics, name)
            )
    with pytest.raises(
        ShapeError, match=r"bleu has the shape \(2, 9\); 2 pairs need \(2, 10\)"
    ):
        PairStatistics(np.zeros((2, 9)), np.zeros(2), np.zeros((2, 2)), None)


def test_planning_agrees_with_itself_and_with_the_textbook() -> None:
    assert pytest.approx(2.8016, abs=1e-4) == Z_BOTH
    pairs = pairs_needed(0.4, 1929)
    assert smallest_gain(0.4 * np.sqrt(1929 / pairs)) == pytest.approx(1.0, abs=1e-3)
    # two-sample t-test, one standard deviation apart: 17 of each (Cohen 1988, table
    # 2.4.1)
    assert seeds_needed(1.0) == 17
    assert seeds_needed(0.0) == 2
    assert seeds_needed(0.5, error=0.36) is None
    with pytest.raises(SettingsError, match="gain=0"):
        pairs_needed(0.4, 1929, 0)
