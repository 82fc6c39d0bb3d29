"""The rule that turns the caption of a pair in reverse order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.data.reversal import REVERSED, reverse_words

WORDS = st.lists(
    st.sampled_from([*REVERSED, "a", "house", "new", "becomes", "is"]), max_size=8
)


@pytest.mark.parametrize(
    ("caption", "turned"),
    [
        ("a house is built in the forest", "a house is removed in the forest"),
        ("two houses appear beside the road", "two houses disappear beside the road"),
        ("many trees are removed", "many trees are added"),
        (
            "trees disappear and a new road is constructed",
            "trees appear and a road is removed",
        ),
        ("the bareland becomes a road", None),
        ("some houses replace the trees", None),
        ("the scene is the same as before", None),
    ],
)
def test_what_came_is_gone_and_what_is_not_known_has_no_reverse(
    caption: str, turned: str | None
) -> None:
    found = reverse_words(caption.split())
    assert (None if found is None else " ".join(found)) == turned


@given(WORDS)
def test_no_word_of_coming_stays_and_twice_is_a_sentence_of_coming(
    words: list[str],
) -> None:
    turned = reverse_words(words)
    if turned is None:
        return
    came = {"built", "constructed", "appears", "appear", "erected"}
    kept = [word for word in words if word != "new"]
    for before, after in zip(kept, turned, strict=True):
        assert before not in came or after not in came
    again = reverse_words(turned)
    assert again is not None
    assert len(again) == len(turned)
