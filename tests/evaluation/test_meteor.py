from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.caption_sets import OFFICIAL, captions_of, levir, needs_java
from sencap.errors import MissingDependencyError, SencapError
from sencap.evaluation.meteor import (
    COLUMNS,
    add_statistics,
    meteor_from_statistics,
    meteor_statistics,
)
from sencap.evaluation.metrics import Floats
from sencap.evaluation.protocol import ID_BASE

Set = tuple[list[list[str]], list[list[list[str]]]]

WORDS = [
    "a",
    "the",
    "road",
    "roads",
    "house",
    "houses",
    "built",
    "is",
    "are",
    "constructed",
    "in",
    "many",
    "several",
    "woods",
    "forest",
    "trees",
]


def made_up(pairs: int, seed: int) -> Set:
    """Random captions; every fourth hypothesis is one of its references, every tenth is
    empty."""
    draw = random.Random(seed)
    references = [
        [draw.choices(WORDS, k=draw.randint(1, 12)) for _ in range(draw.randint(1, 5))]
        for _ in range(pairs)
    ]
    said = [
        captions[0]
        if index % 4 == 0
        else draw.choices(WORDS, k=draw.randint(1, 12))
        if index % 10
        else []
        for index, captions in enumerate(references)
    ]
    return said, references


def authority(
    hypotheses: list[list[str]], references: list[list[list[str]]]
) -> tuple[float, Floats]:
    """Corpus and pair scores by pycocoevalcap's own wrapper, which is then put away
    whole."""
    from pycocoevalcap.meteor.meteor import Meteor

    meteor = Meteor()
    try:
        score, scores = meteor.compute_score(
            {
                i: [" ".join(caption) for caption in captions]
                for i, captions in enumerate(references)
            },
            {i: [" ".join(caption)] for i, caption in enumerate(hypotheses)},
        )
    finally:
        for pipe in (
            meteor.meteor_p.stdin,
            meteor.meteor_p.stdout,
            meteor.meteor_p.stderr,
        ):
            pipe.close()
        meteor.meteor_p.kill()
        meteor.meteor_p.wait()
    return score, np.array(scores)


TRICKY: Set = (
    [
        ["a", "road", "is", "built"],
        ["a", "|||", "road\nis built"],
        [],
        ["road"],
        ["4", "5", "7"],
    ],
    [
        [["a", "road", "was", "built"]],
        [["a", "road", "is", "built"]],
        [["a", "road"]],
        [["|||"], ["\u2028"]],
        [["4", "5", "6"], ["4"]],
    ],
)
"""The jar's own separator and line ends inside captions, and empty captions."""


IDS = [
    [str(ID_BASE + draw.randrange(500)) for _ in range(8)]
    for draw in [random.Random(3)]
    for _ in range(60)
]
MIRRORED = [
    [str(2 * ID_BASE + 500 - int(number)) for number in caption] for caption in IDS
]


@dataclass(frozen=True)
class Plain:
    """Statistics from one run of the jar in the environment as it is."""

    captions: Set
    rows: Floats
    tricky: Floats
    ids: Floats
    mirrored: Floats


@pytest.fixture(scope="module")
def plain() -> Plain:
    said, references = made_up(300, seed=5)
    if OFFICIAL.is_file():
        captions = [captions_of(entry) for entry in levir(OFFICIAL, "test")][::4]
        said += [one[0] for one in captions]
        references += [one[1:] for one in captions]
    numbered = [
        (ids[:20], [ids[20 + 2 * row : 22 + 2 * row] for row in range(20)])
        for ids in (IDS, MIRRORED)
    ]
    return Plain(
        (said, references), *meteor_statistics([(said, references), TRICKY, *numbered])
    )


@needs_java
def test_agreement_with_the_wrapper(plain: Plain) -> None:
    corpus, pairs = authority(*plain.captions)
    np.testing.assert_allclose(
        meteor_from_statistics(plain.rows), pairs, atol=1e-6, rtol=0
    )
    assert meteor_from_statistics(add_statistics(plain.rows)) == pytest.approx(
        corpus, abs=1e-6
    )


@needs_java
def test_separators_line_ends_and_empty_captions(plain: Plain) -> None:
    scores = meteor_from_statistics(plain.tricky)
    assert scores[1] == 1
    assert scores[2:4].tolist() == [0, 0]
    # two of three words, unbroken: P = R = 2/3, penalty 0.6·(1/2)^0.2
    assert scores[4] == pytest.approx(2 / 3 * (1 - 0.6 * 0.5**0.2))


@needs_java
def test_ids_match_themselves_only_whatever_their_order(plain: Plain) -> None:
    assert plain.ids[:, 4].any()  # some are matched, exactly
    assert not plain.ids[:, 8:20].any()  # none as stems, synonyms or paraphrases
    np.testing.assert_array_equal(plain.ids, plain.mirrored)


@needs_java
def test_a_decimal_comma_changes_nothing(
    plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    np.testing.assert_array_equal(meteor_statistics([TRICKY])[0], plain.tricky)


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up java, alone on PATH: the test writes its Python."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    script = tmp_path / "java"
    script.touch(0o755)
    return script


def play(script: Path, code: str) -> None:
    script.write_text(f"#!{sys.executable}\nimport sys, time\n{code}\n")


ONE: Set = ([["a"]], [[["a"]]])


def test_no_java(java: Path) -> None:
    java.unlink()
    with pytest.raises(MissingDependencyError, match="install Java"):
        meteor_statistics([ONE])


def test_java_under_java_home(
    java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(java, "print(' '.join(['1.0'] * 23))")
    (tmp_path / "home" / "bin").mkdir(parents=True)
    java.rename(tmp_path / "home" / "bin" / "java")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert meteor_statistics([ONE])[0].tolist() == [[1.0] * 23]


def test_a_java_that_hangs_is_stopped(java: Path) -> None:
    play(java, "time.sleep(60)")
    with pytest.raises(SencapError, match=r"did not finish 1 pairs within 0.5 s"):
        meteor_statistics([ONE], time_limit=0.5)


def test_a_java_that_fails_says_why(java: Path) -> None:
    play(java, "sys.exit('no heap left')")
    with pytest.raises(MissingDependencyError, match=r"exit code 1: no heap left"):
        meteor_statistics([ONE])


def test_a_java_that_answers_something_else(java: Path) -> None:
    play(java, "sys.stdin.read(); print('Error: specify hypothesis')")
    with pytest.raises(SencapError, match="not \\(1, 23\\)"):
        meteor_statistics([ONE])


def test_a_talkative_java_does_not_block(java: Path) -> None:
    """A megabyte of complaints comes before the first line is read; no pipe holds
    that."""
    play(
        java,
        "sys.stderr.write('x' * 1_000_000)\nfor line in sys.stdin: print(' "
        "'.join(['0.0'] * 23))",
    )
    rows = meteor_statistics([([["a"], ["b"], ["a"]], [[["a"]]] * 3)], time_limit=30)[0]
    assert rows.shape == (3, 23)


def test_nothing_to_do_starts_nothing(java: Path) -> None:
    java.unlink()
    assert meteor_statistics([]) == []


def statistics(length: int, reference: int, matched: int, chunks: int) -> list[float]:
    """Exact matches of content words only."""
    return [
        length,
        reference,
        0,
        0,
        matched,
        matched,
        *[0] * 14,
        chunks,
        matched,
        matched,
    ]


def test_closed_form() -> None:
    """6 words, 4 of a reference's 5, in 2 chunks."""
    precision, recall = 4 / 6, 4 / 5
    mean = 1 / (0.15 / precision + 0.85 / recall)
    expected = mean * (1 - 0.6 * (2 / 4) ** 0.2)
    assert meteor_from_statistics(
        np.array(statistics(6, 5, 4, 2), dtype=float)
    ) == pytest.approx(expected)


def test_a_perfect_corpus_scores_one_and_nothing_scores_zero() -> None:
    rows = np.array([statistics(5, 5, 5, 1), statistics(7, 7, 7, 1)], dtype=float)
    assert meteor_from_statistics(add_statistics(rows)) == 1
    assert meteor_from_statistics(np.zeros(COLUMNS)) == 0
    assert rows[0, 20] == 1  # adding up changes nothing in what it is given


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_bounds(length: int, reference: int, data: st.DataObject) -> None:
    matched = data.draw(st.integers(0, min(length, reference)))
    chunks = data.draw(st.integers(1, matched)) if matched else 0
    score = meteor_from_statistics(
        np.array(statistics(length, reference, matched, chunks), dtype=float)
    )
    assert 0 <= score <= 1
    assert (score == 0) == (matched == 0)
