"""What is gone: a pair is asked about in reverse order too, and the caption turned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reference.on_arrays import predictor_of
from sencap import ModelSettings, load
from sencap.config import Decision, SearchSettings
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import NO_CHANGE_SENTENCES, Vocabulary
from sencap.demonstration import EXAMPLES
from sencap.engines.contract import PairMemory
from sencap.explain import explain
from sencap.images import as_pair
from sencap.models.checkpoint import Checkpoint
from sencap.models.variants import build
from sencap.predictor import Predictor
from sencap.removals import GONE, NOTE, SURE, likelier_order, needs_reverse_order
from sencap.structures import Caption

SAME = Caption(NO_CHANGE_SENTENCES[0], -0.5, False, change_probability=0.2)


def change(text: str, *others: str, probability: float = 0.95) -> Caption:
    alternatives = tuple(Caption(other, -2.0, True) for other in others)
    return Caption(
        text,
        -1.0,
        True,
        alternatives=alternatives,
        change_probability=probability,
    )


def test_what_was_built_in_reverse_order_is_removed() -> None:
    reverse = change("some houses are built by the road", "a new house appears")
    told = likelier_order(SAME, reverse)
    assert told.text == "some houses are removed by the road"
    assert [other.text for other in told.alternatives] == ["a house disappears"]
    assert (told.changed, told.reverse, told.note) == (True, True, NOTE)
    assert (told.log_prob, told.change_probability) == (-1.0, 0.95)


def test_a_caption_that_has_no_reverse_gives_way_to_one_that_has() -> None:
    reverse = change("the trees become a road", "a road is built")
    assert likelier_order(SAME, reverse).text == "a road is removed"
    told = likelier_order(SAME, change("the trees become a road"))
    assert (told.text, told.alternatives) == (GONE, ())
    assert (told.changed, told.reverse) == (True, True)


def test_a_sentence_that_says_a_phrase_twice_once_turned_is_none() -> None:
    # Two ways to say built, one to say removed.
    twice = "houses are built and houses are erected"
    told = likelier_order(SAME, change(twice, "a road is built"))
    assert (told.text, told.alternatives) == ("a road is removed", ())
    assert likelier_order(SAME, change(twice)).text == GONE


def test_a_pair_that_is_unchanged_in_both_orders_stays_so() -> None:
    likelier = Caption(NO_CHANGE_SENTENCES[0], -0.4, False, change_probability=0.4)
    told = likelier_order(SAME, likelier)
    assert told.text == SAME.text
    assert not told.reverse
    # By the larger one it would have been told changed.
    assert told.change_probability == 0.4


def test_of_two_orders_that_changed_the_likelier_one_is_told() -> None:
    built = change("a house is built", probability=0.7)
    likelier = change("a road is built", probability=0.8)
    assert likelier_order(built, likelier).text == "a road is removed"
    less_likely = change("a road is built", probability=0.6)
    assert likelier_order(built, less_likely) == built
    # Equally likely: what is told of the true order.
    assert likelier_order(built, change("a road is built", probability=0.7)) == built


def test_a_pair_below_a_high_threshold_is_asked_about_in_reverse_order() -> None:
    # Told unchanged with a threshold above it, so nothing is told changed for sure.
    unchanged = dataclasses.replace(SAME, change_probability=0.93)
    assert needs_reverse_order(unchanged)
    assert not needs_reverse_order(change("a road is built", probability=0.93))


@pytest.fixture
def checkpoint(tiny_data: Path, tiny_model: ModelSettings) -> Checkpoint:
    captions = [words for entry in read_captions(tiny_data) for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    captioner = build(tiny_model, len(vocabulary)).eval()
    return Checkpoint(captioner, vocabulary, tiny_model, {})


@pytest.fixture
def predictor(checkpoint: Checkpoint) -> Predictor:
    return predictor_of(checkpoint, decision="either-order")


def pairs_of_noise(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, 2, 3, 64, 64), dtype=np.uint8)


def test_pairs_told_changed_for_sure_are_not_asked_about_again(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pairs_of_noise(4)
    sure = change("a road is built", probability=SURE)
    unsure = change("a path is built", probability=SURE - 0.01)
    answers: Iterator[list[Caption]] = iter(
        [
            [SAME, sure, SAME, unsure],
            [change("a house is built"), SAME, SAME],
        ]
    )
    monkeypatch.setattr(predictor, "_captions", lambda *_: next(answers))
    encode = predictor.engine.encode
    asked: list[np.ndarray] = []

    def watched(pixels: np.ndarray) -> PairMemory:
        asked.append(pixels)
        return encode(pixels)

    monkeypatch.setattr(predictor.engine, "encode", watched)
    told = predictor.caption_pairs([as_pair(*pair) for pair in images])
    assert [one.text for one in told] == [
        "a house is removed",
        "a road is built",
        SAME.text,
        "a path is built",
    ]
    np.testing.assert_array_equal(asked[1], images[[0, 2, 3]][:, ::-1])
    assert len(asked) == 2


@pytest.mark.parametrize("decision", ["probability", "search"])
def test_other_decisions_ask_once(
    decision: Decision, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor.decision = decision
    monkeypatch.setattr(predictor, "_captions", lambda *_: [SAME])
    monkeypatch.setattr(predictor, "_in_either_order", None)
    (pair,) = pairs_of_noise(1)
    assert not predictor(*pair).changed


def test_it_is_the_weights_choice_where_nobody_says(checkpoint: Checkpoint) -> None:
    search = SearchSettings(decision="either-order")
    settings = dataclasses.replace(checkpoint.settings, search=search)
    own = dataclasses.replace(checkpoint, settings=settings)
    assert predictor_of(checkpoint).decision == "probability"
    assert predictor_of(own).decision == "either-order"
    assert predictor_of(own, decision="search").decision == "search"


def test_the_maps_are_those_of_the_order_that_was_told(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pair,) = pairs_of_noise(1)
    before, after = pair
    here = explain(before, after, predictor)
    swapped = explain(after, before, predictor)
    gone = likelier_order(SAME, change("a house is built"))
    monkeypatch.setattr(predictor, "caption_pairs", lambda *_, **__: [gone])
    told = explain(before, after, predictor)
    assert told.caption.text == "a house is removed"
    np.testing.assert_allclose(told.parts["memory"], swapped.parts["memory"])
    assert not np.allclose(told.parts["memory"], here.parts["memory"])
    # What is shown is what was given.
    np.testing.assert_array_equal(told.pair.images, here.pair.images)


@pytest.mark.parametrize("weights", [None, "best"])
def test_the_weights_that_ship_tell_what_is_gone(weights: str | None) -> None:
    before, after = (
        EXAMPLES / f"synthetic-road_{date}.png" for date in ("before", "after")
    )
    captioner = load(weights)
    built, gone = captioner(before, after), captioner(after, before)
    assert captioner.decision == "either-order"
    assert (built.changed, built.reverse) == (True, False)
    assert (gone.changed, gone.reverse) == (True, True)
    assert "houses are removed" in gone.text
    assert NOTE in gone.note
    without = load(weights, decision="probability")(after, before)
    assert not without.changed
