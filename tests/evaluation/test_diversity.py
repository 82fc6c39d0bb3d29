"""How different captions are: what is counted, and which sentences stumble."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.evaluation.diversity import diversity
from sencap.evaluation.protocol import ScoredPair
from sencap.phrases import repeated_phrase

LETTERS = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=2, max_size=8)


@pytest.mark.parametrize(
    ("sentence", "phrase"),
    [
        ("a residential area with a residential area", "a residential area"),
        ("many houses are built and many houses are built", "many houses are built"),
        ("a road road appears", "road"),
        ("some trees and some of some trees", ""),
        ("houses on both sides of the road and trees along the road", ""),
        ("a house with a tree", ""),
        ("", ""),
    ],
)
def test_a_phrase_that_is_said_twice_is_found(sentence: str, phrase: str) -> None:
    assert repeated_phrase(sentence.split()) == phrase


@given(LETTERS)
def test_a_sentence_of_different_words_repeats_nothing(words: list[str]) -> None:
    assert repeated_phrase(words) == ""
    assert repeated_phrase([*words, *words]) == " ".join(words)
    assert repeated_phrase([*words, "and", *words]) == " ".join(words)


def pair(said: str, *references: str, changed: bool | None = True) -> ScoredPair:
    return ScoredPair(
        "a.png", [text.split() for text in references], said.split(), None, changed
    )


def test_captions_of_changed_pairs_are_counted_beside_what_people_say() -> None:
    pairs = [
        pair("a house", "a house", "one house", "new"),
        pair("a house", "a road", "one house", "built"),
        pair("a road road", "a house", "one house"),
        pair("the same", "the same", changed=False),
    ]
    assert diversity(pairs) == {
        "changed_pairs": 3,
        "different": 2,
        "different_of_people": (2 + 1) / 2,
        "repeats": ["a road road"],
    }


def test_without_changed_pairs_there_is_nothing_to_count() -> None:
    assert diversity([pair("the same", "the same", changed=False)]) is None
