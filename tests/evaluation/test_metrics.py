from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from evaluation.caption_sets import OFFICIAL, captions_of, levir
from sencap.errors import DataError, ShapeError
from sencap.evaluation.metrics import (
    BleuReferences,
    CiderReferences,
    Floats,
    bleu_from_statistics,
    bleu_statistics,
    cider_d,
    cider_is_zero,
    corpus_bleu4,
    rouge_l,
)

Captions = list[list[str]]

WORDS = st.sampled_from(
    ["a", "the", "road", "house", "houses", "tree", "built", "is", "on", "lake"]
)
CAPTION = st.lists(WORDS, max_size=9)
PAIR = st.tuples(
    CAPTION, st.lists(st.lists(WORDS, min_size=1, max_size=9), min_size=1, max_size=5)
)
PAIRS = st.lists(PAIR, min_size=1, max_size=6)


def authority(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> dict[str, tuple[Floats, Floats]]:
    """Corpus and pair scores by pycocoevalcap."""
    truth = {
        i: [" ".join(caption) for caption in captions]
        for i, captions in enumerate(references)
    }
    said = {i: [" ".join(caption)] for i, caption in enumerate(hypotheses)}
    bleu, bleus = Bleu(4).compute_score(truth, said, verbose=0)
    rouge, rouges = Rouge().compute_score(truth, said)
    cider, ciders = Cider().compute_score(truth, said)
    return {
        "bleu": (np.array(bleu), np.array(bleus).T),
        "rouge": (np.array(rouge), rouges),
        "cider": (np.array(cider), ciders),
    }


def assert_agrees(hypotheses: Captions, references: list[Captions]) -> None:
    expected = authority(hypotheses, references)
    bleu = bleu_statistics(hypotheses, references)
    rouge, cider = rouge_l(hypotheses, references), cider_d(hypotheses, references)
    np.testing.assert_allclose(
        bleu_from_statistics(bleu.sum(axis=0)), expected["bleu"][0], atol=1e-6, rtol=0
    )
    np.testing.assert_allclose(
        bleu_from_statistics(bleu), expected["bleu"][1], atol=1e-6, rtol=0
    )
    np.testing.assert_allclose(rouge.mean(), expected["rouge"][0], atol=1e-6, rtol=0)
    np.testing.assert_allclose(rouge, expected["rouge"][1], atol=1e-6, rtol=0)
    np.testing.assert_allclose(cider.mean(), expected["cider"][0], atol=1e-6, rtol=0)
    np.testing.assert_allclose(cider, expected["cider"][1], atol=1e-6, rtol=0)


def test_agreement_on_all_of_levir_cc() -> None:
    captions = [captions_of(entry) for entry in levir(OFFICIAL)]
    assert len(captions) == 10_077
    assert_agrees([one[0] for one in captions], [one[1:] for one in captions])


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_agreement_on_random_captions(pairs: list[tuple[list[str], Captions]]) -> None:
    assert_agrees([one for one, _ in pairs], [captions for _, captions in pairs])


def test_agreement_with_an_empty_hypothesis_and_an_empty_reference() -> None:
    assert_agrees([[], ["a"], []], [[["a", "b"]], [[], ["a"]], [[], ["b", "c"]]])


@given(PAIRS, st.randoms(use_true_random=False))
def test_order_of_pairs_does_not_matter(
    pairs: list[tuple[list[str], Captions]], shuffler: random.Random
) -> None:
    order = list(range(len(pairs)))
    shuffler.shuffle(order)
    said, truth = [one for one, _ in pairs], [captions for _, captions in pairs]
    again, again_truth = [said[i] for i in order], [truth[i] for i in order]
    assert corpus_bleu4(again, again_truth) == pytest.approx(
        corpus_bleu4(said, truth), abs=1e-12
    )
    np.testing.assert_allclose(
        cider_d(again, again_truth), cider_d(said, truth)[order], atol=1e-12
    )


@given(PAIRS)
def test_bounds(pairs: list[tuple[list[str], Captions]]) -> None:
    said, truth = [one for one, _ in pairs], [captions for _, captions in pairs]
    bleu = bleu_from_statistics(bleu_statistics(said, truth))
    assert ((bleu >= 0) & (bleu <= 1)).all()
    assert ((rouge_l(said, truth) >= 0) & (rouge_l(said, truth) <= 1)).all()
    assert ((cider_d(said, truth) >= 0) & (cider_d(said, truth) <= 10 + 1e-9)).all()


def test_chosen_pairs_score_as_they_do_among_all() -> None:
    said = [["a", "road"], ["a", "lake"], ["the", "house", "is", "built"]]
    truth = [
        [["a", "road", "is"]],
        [["lake"], ["a", "lake"]],
        [["the", "house", "is", "built"]],
    ]
    chosen = [2, 0]
    some = [said[index] for index in chosen]
    np.testing.assert_array_equal(
        CiderReferences(truth).score(some, chosen), cider_d(said, truth)[chosen]
    )
    np.testing.assert_array_equal(
        BleuReferences(truth).statistics(some, chosen),
        bleu_statistics(said, truth)[chosen],
    )


def test_closed_form_bleu() -> None:
    """3 of 4 words, 2 of 3 bigrams, 1 of 2 trigrams match; the reference has 5 words,
    so exp(1 - 5/4)."""
    rows = bleu_statistics([["a", "b", "c", "x"]], [[["a", "b", "c", "d", "e"]]])
    assert rows.tolist() == [[4, 5, 3, 2, 1, 0, 4, 3, 2, 1]]
    brevity = math.exp(1 - 5 / 4)
    bleu = bleu_from_statistics(rows)[0]
    assert bleu[0] == pytest.approx(3 / 4 * brevity)
    assert bleu[1] == pytest.approx(math.sqrt(3 / 4 * 2 / 3) * brevity)
    assert bleu[2] == pytest.approx((3 / 4 * 2 / 3 * 1 / 2) ** (1 / 3) * brevity)
    assert bleu[3] == pytest.approx(0, abs=1e-3)


def test_bleu_takes_the_shorter_of_two_equally_close_references() -> None:
    assert bleu_statistics([["a"] * 4], [[["a"] * 5, ["a"] * 3]])[0, 1] == 3


def test_bleu_clips_a_repeated_word() -> None:
    assert bleu_statistics([["the"] * 7], [[["the", "cat", "the"], ["the"]]])[0, 2] == 2


def test_closed_form_rouge_l() -> None:
    """LCS "a c" is 2 of 3 words said and 2 of 4 in the reference."""
    precision, recall, beta = 2 / 3, 2 / 4, 1.2
    expected = (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
    assert rouge_l([["a", "c", "x"]], [[["a", "b", "c", "d"]]])[0] == pytest.approx(
        expected
    )


def test_closed_form_cider_d() -> None:
    """Two pairs, nothing shared: every n-gram weighs log 2; a caption of 3 words has n
    = 1, 2, 3 only."""
    captions = [["a", "b", "c"], ["d", "e", "f"]]
    scores = cider_d(captions, [[captions[0]], [captions[1]]])
    assert scores == pytest.approx([10 * 3 / 4] * 2)


@given(
    st.lists(
        st.lists(st.sampled_from(["a b", "a b c", "b c", "c"]), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.sampled_from(["a b c", "b", "c c", ""]), min_size=4, max_size=4),
)
def test_cider_d_is_said_to_be_zero_where_it_is(
    references: list[list[str]], said: list[str]
) -> None:
    """Whatever is said; where it is not zero by construction, the references themselves
    score."""
    truth = [[text.split() for text in texts] for texts in references]
    guesses = [text.split() for text in said[: len(truth)]]
    if cider_is_zero(truth):
        assert (cider_d(guesses, truth) == 0).all()
        assert (cider_d([captions[0] for captions in truth], truth) == 0).all()
    else:
        assert any(
            (
                cider_d(
                    [captions[min(k, len(captions) - 1)] for captions in truth], truth
                )
                > 0
            ).any()
            for k in range(4)
        )


def test_cider_d_of_what_every_pair_says_is_zero() -> None:
    assert cider_d([["same"]] * 3, [[["same"]]] * 3).tolist() == [0, 0, 0]


def longest_common(first: list[str], second: list[str]) -> int:
    """The usual table, literally."""
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, one in enumerate(first, 1):
        for j, two in enumerate(second, 1):
            longest = max(table[i - 1, j], table[i, j - 1])
            table[i, j] = table[i - 1, j - 1] + 1 if one == two else longest
    return int(table[-1, -1])


@given(CAPTION, CAPTION)
def test_rouge_l_against_the_table(first: list[str], second: list[str]) -> None:
    first, second = first or [""], second or [""]
    common = longest_common(first, second)
    precision, recall = common / len(first), common / len(second)
    wanted = 0.0
    if common:
        wanted = (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
    assert rouge_l([first], [[second]])[0] == pytest.approx(wanted)


def test_rouge_l_of_long_captions() -> None:
    """Longer than a machine word: the bits must not run over."""
    precision = 150 / 200
    wanted = (1 + 1.2**2) * precision / (1 + 1.2**2 * precision)
    assert rouge_l([["a"] * 200], [[["a"] * 150]])[0] == pytest.approx(wanted)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ShapeError, match="2 hypotheses for 1 pairs"):
        corpus_bleu4([["a"], ["b"]], [[["a"]]])
    with pytest.raises(DataError, match="no pairs to score"):
        cider_d([], [])
    with pytest.raises(DataError, match="pair 1 has no reference"):
        rouge_l([["a"], ["b"]], [[["a"]], []])
    with pytest.raises(ShapeError, match="1 hypotheses for 2 pairs"):
        CiderReferences([[["a"]], [["b"]], [["c"]]]).score([["a"]], [0, 1])


def test_evaluation_needs_no_torch() -> None:
    code = (
        "import sys, sencap.evaluation.report, sencap.figures.album; "
        "sys.exit(any(name == 'torch' or name.startswith('torch.') for name in "
        "sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
