"""The vocabulary: its order, its two directions, its file, and the three counts of
LEVIR-CC."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.data.entries import SPLITS, CaptionEntry
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import (
    NO_CHANGE_SENTENCES,
    SPECIAL_WORDS,
    Vocabulary,
    coverage,
    is_word,
    learn_no_change,
    normalise,
    says_no_change,
)
from sencap.errors import (
    CheckpointError,
    DataError,
    OutputError,
    SettingsError,
    ShapeError,
)

ALL_CAPTIONS = (
    Path(__file__).parents[3]
    / "shared"
    / "data"
    / "captions"
    / "LevirCCcaptions_all.json"
)
CAPTIONS = [["a", "road", "is", "built"], ["a", "house", "is", "built"], ["a", "road"]]
WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=4)


@functools.cache
def all_entries() -> list[CaptionEntry]:
    return read_captions(ALL_CAPTIONS)


@pytest.mark.skipif(not ALL_CAPTIONS.is_file(), reason=f"{ALL_CAPTIONS} is not here")
@pytest.mark.parametrize(
    ("splits", "minimum", "size"),
    [(SPLITS, 6, 468), (SPLITS, 5, 501), (("train",), 6, 404)],
    ids=str,
)
def test_the_counts_of_levir_cc(
    splits: tuple[str, ...], minimum: int, size: int
) -> None:
    captions = [
        caption
        for entry in all_entries()
        if entry.split in splits
        for caption in entry.captions
    ]
    assert len(Vocabulary.build(captions, minimum)) == size


def test_order_is_by_count_and_then_by_alphabet() -> None:
    vocabulary = Vocabulary.build(CAPTIONS, 1)
    assert vocabulary.words == (*SPECIAL_WORDS, "a", "built", "is", "road", "house")
    assert (vocabulary.pad, vocabulary.unk, vocabulary.start, vocabulary.end) == (
        0,
        1,
        2,
        3,
    )
    assert Vocabulary.build(reversed(CAPTIONS), 1) == vocabulary


def test_rare_words_are_left_out() -> None:
    assert Vocabulary.build(CAPTIONS, 2).words[4:] == ("a", "built", "is", "road")
    assert Vocabulary.build(CAPTIONS, 3).words[4:] == ("a",)


def test_encode_and_decode() -> None:
    vocabulary = Vocabulary.build(CAPTIONS, 1)
    assert vocabulary.encode(["a", "pool", "is", "built"]) == [4, 1, 6, 5]
    assert vocabulary.decode([2, 4, 1, 6, 5, 3, 0, 0]) == ["a", "<unk>", "is", "built"]
    assert "road" in vocabulary
    assert "pool" not in vocabulary


def test_special_words_in_a_text_are_unknown_words() -> None:
    vocabulary = Vocabulary.build([*CAPTIONS, ["<end>", "<pad>", "a"]], 1)
    assert vocabulary.words == Vocabulary.build(CAPTIONS, 1).words
    assert vocabulary.encode(["<end>", "<pad>", "<start>", "<unk>"]) == [1, 1, 1, 1]
    assert "<end>" not in vocabulary


@given(st.lists(st.lists(WORDS, min_size=1), min_size=1))
def test_what_is_encoded_comes_back(captions: list[list[str]]) -> None:
    vocabulary = Vocabulary.build(captions, 1)
    assert all(
        vocabulary.decode(vocabulary.encode(caption)) == caption for caption in captions
    )
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert sorted(vocabulary.words[4:]) == sorted(
        {word for caption in captions for word in caption}
    )


@pytest.mark.parametrize("number", [-1, 9, 500])
def test_ids_of_another_vocabulary_are_refused(number: int) -> None:
    with pytest.raises(
        CheckpointError, match=f"id {number} is outside this vocabulary of 9 words"
    ):
        Vocabulary.build(CAPTIONS, 1).decode([4, number])


def test_build_refuses_what_cannot_be_meant() -> None:
    with pytest.raises(SettingsError, match="minimum_count is 0"):
        Vocabulary.build(CAPTIONS, 0)
    with pytest.raises(
        SettingsError,
        match="minimum_count 9 leaves no word: the most frequent, 'a', occurs 3×",
    ):
        Vocabulary.build(CAPTIONS, 9)
    with pytest.raises(ShapeError, match="not one string: split 'a road' first"):
        Vocabulary.build(["a road"], 1)
    with pytest.raises(ShapeError, match="not one string: split 'a road' first"):
        Vocabulary.build(CAPTIONS, 1).encode("a road")
    with pytest.raises(DataError, match="there is no word in the captions given"):
        Vocabulary.build([], 1)
    with pytest.raises(DataError, match="'a road' is or does"):
        Vocabulary.build([["a road"]], 1)


def test_digest_is_of_the_json_and_tells_vocabularies_apart() -> None:
    one, other = Vocabulary.build(CAPTIONS, 1), Vocabulary.build(CAPTIONS, 2)
    assert one.digest == hashlib.sha256(one.to_json().encode()).hexdigest()
    assert one.digest == Vocabulary(one.words).digest
    assert one.digest != other.digest
    swapped = (*one.words[:4], one.words[5], one.words[4], *one.words[6:])
    assert one.digest != Vocabulary(swapped).digest


def test_save_and_load(tmp_path: Path) -> None:
    vocabulary = Vocabulary.build([*CAPTIONS, ["müll", "t-shaped"]], 1)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary
    table = json.loads((tmp_path / "vocabulary.json").read_text(encoding="utf-8"))
    assert table["<end>"] == 3
    assert list(table.values()) == list(range(len(vocabulary)))


def test_a_failed_save_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError("disk full")

    path = tmp_path / "vocabulary.json"
    old = Vocabulary.build(CAPTIONS, 2)
    old.save(path)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(
        OutputError, match=r"vocabulary\.json cannot be written \(disk full\)"
    ):
        Vocabulary.build(CAPTIONS, 1).save(path)
    assert Vocabulary.load(path) == old
    assert list(tmp_path.iterdir()) == [path]


SPECIAL = '"<pad>": 0, "<unk>": 1, "<start>": 2, "<end>": 3'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not readable JSON: .*line 1"),
        ("[1, 2]", r"word → id; this is \[1, 2\]"),
        ('{"<pad>": 0, "<unk>": 1, "a": 2}', "the vocabulary has no <start>, <end>"),
        (f'{{{SPECIAL}, "a": 3}}', "id 3 stands for both '<end>' and 'a'"),
        (
            f'{{{SPECIAL}, "a": 5}}',
            r"the ids of 5 words are 0 to 4, without gaps; missing: \[4\]",
        ),
        (f'{{{SPECIAL}, "a": -1}}', r"missing: \[4\]"),
        (
            f'{{{SPECIAL}, "a": "4"}}',
            "the id of 'a' is '4', but must be a whole number",
        ),
        (f'{{{SPECIAL}, "a": 4.0}}', r"the id of 'a' is 4\.0"),
        (f'{{{SPECIAL}, "a": true}}', "the id of 'a' is True"),
        (f'{{{SPECIAL}, "a": 4, "a": 5}}', "it holds 'a' twice"),
        (
            f'{{{SPECIAL}, "a b": 4}}',
            "words without white space and control characters; 'a b' is none",
        ),
        (
            '{"<pad>": 1, "<unk>": 0, "<start>": 2, "<end>": 3}',
            "this one begins with <unk> <pad>",
        ),
        (f'{{{SPECIAL}, "\\ud800": 4}}', r"'\\ud800' holds half of a surrogate pair"),
        (f'{{{SPECIAL}, "\\u001b[2J": 4}}', r"control characters; '\\x1b\[2J' is none"),
        (f'{{{SPECIAL}, "": 4}}', "control characters; '' is none"),
        (f'{{{SPECIAL}, "a": null}}', "the id of 'a' is None"),
        (f'{{{SPECIAL}, "a": {{"b": 4}}}}', r"the id of 'a' is \{'b': 4\}"),
        (
            f'{{{SPECIAL}, "a": {"[" * 5000}{"]" * 5000}}}',
            "nested deeper than 32 levels",
        ),
        (f'{{{SPECIAL}, "a": {"9" * 5000}}}', "a number of thousands of digits"),
        (f'{{{SPECIAL}, "a": 1{"0" * 4000}}}', r"without gaps; missing: \[4\]"),
        (f'{{{SPECIAL}, "{"a" * 10**6}": null}}', "the id of 'aaa.*aaa' is None"),
        ("null", "word → id; this is None"),
    ],
)
def test_broken_files_are_refused_by_name(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(text)
    with pytest.raises(
        CheckpointError, match=rf"{re.escape(str(path))}(:| is) .*{reason}"
    ):
        Vocabulary.load(path)


def test_a_vocabulary_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    with path.open("wb") as file:
        file.truncate(33 * 2**20)
    with pytest.raises(
        CheckpointError, match=r"is of 33 MB; such a file has at most 32"
    ):
        Vocabulary.load(path)
    words = tuple(map(str, range(10**6)))
    with pytest.raises(
        CheckpointError,
        match=r"a vocabulary of 1,000,004 words is too large; at most 1,000,000",
    ):
        Vocabulary(SPECIAL_WORDS + words)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"none\.json cannot be read \(it does not exist"
    ):
        Vocabulary.load(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'{"\xe4": 0}')
    with pytest.raises(
        CheckpointError, match=r"latin\.json is not readable JSON: byte 2 is no UTF-8"
    ):
        Vocabulary.load(tmp_path / "latin.json")


def test_a_word_twice_is_refused() -> None:
    with pytest.raises(CheckpointError, match="each word once; more than once: a"):
        Vocabulary((*SPECIAL_WORDS, "a", "a"))


@pytest.mark.parametrize(
    "sentence",
    [
        *NO_CHANGE_SENTENCES,
        "nothing has changed",
        "nothing changed in this area",
        "no changes to mention",
        "no changed to mention",
        "there is no change to mention in the area",
        "no difference in this area",
        "no change was made",
        "everything remains the same",
        "all remained the same in this area",
        "all is the same",
        "the area appears the same",
        "the wasteland is the same as before",
        "the bare land remains the same",
        "the trees are all the same as before",
    ],
)
def test_sentences_that_tell_of_no_change(sentence: str) -> None:
    assert says_no_change(sentence.split())


@pytest.mark.parametrize(
    "sentence",
    [
        "the road is the same and a house is built",
        "a house on the same ground",
        "three villas appear where the trees are the same as before",
        "a road crossing appeared in the not urbanized area",
        "a house appears while the road remains the same",
        "the area is further urbanized",
        "the same road is wider than before",
        "all trees are gone",
        "no trees are left",
        "nothing but the road remains",
    ],
)
def test_sentences_that_tell_of_a_change(sentence: str) -> None:
    assert not says_no_change(sentence.split())


def test_sentences_of_no_change_may_be_a_data_sets_own() -> None:
    assert not says_no_change(["keine", "änderung"])
    assert says_no_change(["Keine", "Änderung"], ["keine änderung"])
    assert says_no_change(["There", "is", "no", "difference"])


@pytest.mark.parametrize(
    ("pairs", "learnt"),
    [
        ([], ()),
        ([(["neu"], True)], ()),
        # The only sentence of an unchanged pair.
        ([(["gleich", "gleich"], False)], ("gleich",)),
        ([(["gleich", "ein weg"], False)], ()),  # said of one pair only
        ([(["gleich", "ein weg"], False), (["Gleich", "ein see"], False)], ("gleich",)),
        # Said of a change too.
        ([(["gleich"], False), (["ein weg", "gleich"], True)], ()),
        ([(["gleich"], None), (["gleich"], None)], ()),  # not known to be unchanged
        # The most frequent first.
        ([(["a", "b"], False), (["b", "a"], False), (["b"], False)], ("b", "a")),
        ([([""], False)], ()),
    ],
    ids=range(9),
)
def test_sentences_of_no_change_are_learnt_from_the_flags(
    pairs: list[tuple[list[str], bool | None]], learnt: tuple[str, ...]
) -> None:
    captions = [[sentence.split() for sentence in sentences] for sentences, _ in pairs]
    assert learn_no_change(captions, [flag for _, flag in pairs]) == learnt


def test_coverage_counts_different_words_and_all_that_is_said() -> None:
    captions = [["a", "road", "a", "lake"], ["a", "house"]]
    vocabulary = Vocabulary.build(captions, minimum_count=2)
    found = coverage(captions, vocabulary)
    assert (found.words, found.known, found.unknown_share) == (4, 1, 0.5)
    assert str(found) == "1 of 4 different words known, 50.0 % of all words unknown"
    assert coverage([], vocabulary).unknown_share == 0
    assert not coverage([["a", "b", "c", "d", "e"]], {"a", "b", "c", "d"}).is_poor
    assert coverage([["a", "b", "c"]], {"a", "b"}).is_poor


@pytest.mark.parametrize(
    "text", ["", "a b", "a\tb", "a\x1b[31m", "\x85", "\ud800", "\N{NO-BREAK SPACE}"]
)
def test_a_word_is_one_and_holds_what_any_file_and_terminal_takes(text: str) -> None:
    assert not is_word(text)
    assert is_word("maison-à-côté")


def test_normalise() -> None:
    tokens = ["The", "Lower-Left", "(corner)", "isn't", "road's", "changed.", "."]
    assert normalise(tokens) == (
        "the",
        "lower-left",
        "corner",
        "isn't",
        "road's",
        "changed",
    )
