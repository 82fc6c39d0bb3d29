"""The words of captions: how they are written, which ones a captioner knows, and the
number of each.

Ids 0–3 are ``<pad>``, ``<unk>``, ``<start>`` and ``<end>``; the words follow by falling
count, equal counts in alphabetical order, so that the same captions always give the
same ids. On disk a vocabulary is one JSON object, word → id.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from sencap.bounds import BOUNDS
from sencap.errors import CheckpointError, DataError, SettingsError, ShapeError
from sencap.files import write_whole
from sencap.json_files import NotJsonError, parse_json, read_json, shortened, shown

SPECIAL_WORDS = ("<pad>", "<unk>", "<start>", "<end>")
MOST_MEGABYTES = 32  # of a vocabulary's file; a hundred thousand words are 2
# LEVIR-CC's sentences for pairs without a change. Their order matters: the first one is
# what captioners say.
NO_CHANGE_SENTENCES = (
    "the scene is the same as before",
    "there is no difference",
    "the two scenes seem identical",
    "no change has occurred",
    "almost nothing has changed",
)
MOST_SENTENCES = 100  # of no change, of other wording, that a checkpoint remembers
# Dubai-CC's own ways to say it, told by the beginning of the sentence.
_NO_CHANGE = re.compile(
    r"(there (is|are|was|were) )?no (visible )?(change[sd]?|differences?)\b"
    r"|nothing( has)? changed\b"
    r"|(everything|all|the (area|scene)) (is|remains|remained|appears|looks|stays|stayed) "
    r"(all )?the same\b"
    # What a decoder makes of the fixed sentences: "the wasteland is the same as before".
    # The whole sentence, so that "the road is the same and a house is built" is a change.
    r"|the (\w+ ){1,2}(is|are|remains?|appears?|looks?|seems?|stays?) (all )?the same"
    r"( as before)?$"
)
CONTROL = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
"""Control characters and halves of surrogate pairs, for a class of a pattern: no file
and no terminal takes them."""
_NOT_OF_WORDS = re.compile(rf"[\s{CONTROL}]")
# A share of all words said. Of LEVIR-CC's the paper's vocabulary leaves out 0.003.
_MUCH_UNKNOWN = 0.2
_PUNCTUATION = '.,;:!?"()'


def is_word(text: str) -> bool:
    """Whether a text is one word: not empty, without white space, control characters,
    halves of surrogate pairs."""
    return bool(text) and not _NOT_OF_WORDS.search(text)


def says_no_change(words: Sequence[str], sentences: Collection[str] = ()) -> bool:
    """Whether a sentence says that nothing changed.

    True for LEVIR-CC's five fixed sentences, for Dubai-CC's phrases ("(there is) no
    change / changes / difference …", "nothing (has) changed …", "everything / all / the
    area remains / is / appears the same …"), and for ``sentences``: others, in lower
    case, such as those that `learn_no_change` finds in a data set.

    >>> says_no_change("no change was made in this area".split())
    True
    >>> says_no_change("a road appears in the same area".split())
    False
    """
    sentence = " ".join(words).lower()
    known = sentence in NO_CHANGE_SENTENCES or sentence in sentences
    return known or _NO_CHANGE.match(sentence) is not None


def learn_no_change(
    captions: Sequence[Sequence[Sequence[str]]], changed: Sequence[bool | None]
) -> tuple[str, ...]:
    """A data set's own sentences of no change, in lower case, the most frequent first.

    captions: the sentences of each pair. changed: the pairs' change flags, None where
    it is not known. A sentence is one of no change if no changed pair has it, and two
    unchanged pairs have it or an unchanged pair has no other. Without a flag 0 there is
    none.
    """
    said_of_changed: set[str] = set()
    unchanged_pairs: Counter[str] = Counter()
    alone: set[str] = set()
    for sentences, flag in zip(captions, changed, strict=True):
        # A set: a pair counts once for a sentence, however many of its annotators wrote
        # it.
        texts = {" ".join(words).lower() for words in sentences}
        if flag is False:
            unchanged_pairs.update(texts)
            if len(texts) == 1:
                alone |= texts
        elif flag is True:
            said_of_changed |= texts
    # Equal counts in alphabetical order, so that the same data always give the same
    # list.
    frequent = sorted(unchanged_pairs, key=lambda text: (-unchanged_pairs[text], text))
    # A sentence that one unchanged pair has among others may describe the scene and not
    # the change.
    often = [text for text in frequent if unchanged_pairs[text] > 1 or text in alone]
    return tuple(text for text in often if text and text not in said_of_changed)


def fixed_sentences(own: Sequence[str], vocabulary: Container[str]) -> tuple[str, ...]:
    """The few sentences with which a captioner says that nothing changed.

    own: the sentences of no change of the data that it learnt from, the most frequent
    first. If there are none, or LEVIR-CC's are among them, these five; else the first
    five of its own, those that its vocabulary has all words of before all others.
    """
    if not own or not set(own).isdisjoint(NO_CHANGE_SENTENCES):
        return NO_CHANGE_SENTENCES

    def is_spoken(text: str) -> bool:
        return all(word in vocabulary for word in text.split())

    # A sentence with an unknown word cannot be said, nor scored by the model.
    spoken = [text for text in own if is_spoken(text)]
    return tuple((spoken or own)[: len(NO_CHANGE_SENTENCES)])


def normalise(tokens: Sequence[str]) -> tuple[str, ...]:
    """Lower-case words without punctuation around them; tokens of punctuation alone
    vanish.

    >>> normalise(["The", "lower-left", "corner", "."])
    ('the', 'lower-left', 'corner')
    """
    words = (token.lower().strip(_PUNCTUATION) for token in tokens)
    return tuple(word for word in words if word)


@dataclass(frozen=True)
class Vocabulary:
    """A two-way table of words and ids that never changes.

    ``words[i]`` is the word of id i, the four special ones included;
    ``len(vocabulary)`` is V.

    Raises:
        CheckpointError: the special words do not come first, a word comes twice, is
            empty, or holds a space or a control character; more than a million words.

    >>> vocabulary = Vocabulary.build([["a", "road", "appears"], ["a", "house"]], minimum_count=1)
    >>> vocabulary.encode(["a", "lake", "appears"])
    [4, 1, 5]
    >>> vocabulary.decode([2, 4, 6, 3])
    ['a', 'house']
    """

    words: tuple[str, ...]

    pad: ClassVar[int] = 0
    unk: ClassVar[int] = 1
    start: ClassVar[int] = 2
    end: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if tuple(self.words[: len(SPECIAL_WORDS)]) != SPECIAL_WORDS:
            first = " ".join(map(str, self.words[: len(SPECIAL_WORDS)]))
            raise CheckpointError(
                f"a vocabulary begins with {' '.join(SPECIAL_WORDS)}; this one "
                f"begins with {shortened(first, 60) or 'nothing'}"
            )
        most = BOUNDS["vocabulary_size"].most
        if len(self.words) > most:
            raise CheckpointError(
                f"a vocabulary of {len(self.words):,} words is too large; at most "
                f"{most:,}"
            )
        for word in self.words:
            if not isinstance(word, str) or not is_word(word):
                raise CheckpointError(
                    "a vocabulary holds words without white space and control "
                    f"characters; {shown(word)} is none"
                )
        twice = [word for word, count in Counter(self.words).items() if count > 1]
        if twice:
            raise CheckpointError(
                "a vocabulary holds each word once; more than once: "
                f"{shortened(', '.join(twice[:5]), 200)}"
            )

    @classmethod
    def build(cls, captions: Iterable[Sequence[str]], minimum_count: int) -> Vocabulary:
        """The vocabulary of the words that occur at least ``minimum_count`` (≥ 1) times
        in ``captions``.

        A caption is a sequence of words. Special words inside a caption are not
        counted.

        Raises:
            SettingsError: ``minimum_count`` below 1, or so high that no word is left.
            ShapeError: a caption that is one string instead of a sequence of words.
            DataError: no captions, or a word with white space in it.
        """
        if minimum_count < 1:
            raise SettingsError(
                f"minimum_count is {minimum_count}, but must be at least 1"
            )
        counts: Counter[str] = Counter()
        for caption in captions:
            if isinstance(caption, str):
                raise ShapeError(
                    "a caption is a sequence of words, not one string: split "
                    f"{caption!r} first"
                )
            counts.update(caption)
        # A caption that holds "<end>" as text must not give the marker a second
        # meaning.
        for special in SPECIAL_WORDS:
            counts.pop(special, None)
        if not counts:
            raise DataError(
                "no vocabulary can be built: there is no word in the captions given"
            )
        # Captions are joined and split at spaces, so that such a word would not come
        # back.
        spaced = [word for word in counts if word.split() != [word]]
        if spaced:
            raise DataError(
                f"a word may not be empty or hold white space; {spaced[0]!r} is or does"
            )
        kept = [word for word, count in counts.items() if count >= minimum_count]
        if not kept:
            word, most = counts.most_common(1)[0]
            raise SettingsError(
                f"minimum_count {minimum_count} leaves no word: the most frequent, "
                f"{word!r}, occurs {most}×"
            )
        return cls(
            SPECIAL_WORDS + tuple(sorted(kept, key=lambda word: (-counts[word], word)))
        )

    def encode(self, words: Iterable[str]) -> list[int]:
        """The id of each word, ``unk`` for one that is not known; no ``start`` or
        ``end`` is added.

        A special word in a caption's text is a word not known: it cannot end the
        caption.

        Raises:
            ShapeError: one string instead of a sequence of words.
        """
        if isinstance(words, str):
            raise ShapeError(
                f"encode takes a sequence of words, not one string: split {words!r} "
                "first"
            )
        return [self._ids.get(word, self.unk) for word in words]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of ``ids`` (ints, or anything ``int`` takes), less ``<pad>``,
        ``<start>`` and ``<end>``.

        ``<unk>`` stays.

        Raises:
            CheckpointError: an id outside 0 … V - 1, as from a model with another
                vocabulary.
        """
        words = []
        for number in map(int, ids):
            if not 0 <= number < len(self.words):
                raise CheckpointError(
                    f"id {number} is outside this vocabulary of {len(self.words)} "
                    "words: the model was trained with another one"
                )
            # <unk> stays in the text: a reader sees where a word is missing.
            if number not in (self.pad, self.start, self.end):
                words.append(self.words[number])
        return words

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        """Whether ``encode`` has an id for this word; False for the special ones."""
        return word in self._ids

    @cached_property
    def _ids(self) -> dict[str, int]:
        special = len(SPECIAL_WORDS)
        # The special words are left out, so that a caption's own text "<end>" is
        # unknown.
        return {
            word: number for number, word in enumerate(self.words[special:], special)
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ``to_json()``, 64 hexadecimal digits: equal for equal vocabularies
        only."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """A JSON object, word → id in the order of the ids; the same bytes for the same
        vocabulary."""
        return json.dumps(
            {word: number for number, word in enumerate(self.words)},
            ensure_ascii=False,
            indent=0,
        )

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """The vocabulary that ``to_json`` wrote.

        Raises:
            CheckpointError: not a JSON object word → id, an id twice or left out,
                special words amiss.
        """
        try:
            table = parse_json(text, pairs_hook=_without_double_keys)
        except NotJsonError as error:
            raise CheckpointError(f"the vocabulary is not JSON: {error}") from error
        return cls._from_table(table)

    @classmethod
    def _from_table(cls, table: Any) -> Vocabulary:
        if not isinstance(table, dict):
            raise CheckpointError(
                f"a vocabulary is a JSON object, word → id; this is {shown(table)}"
            )
        # The table may come from a stranger: every id must be a whole number, come
        # once, and leave no gap, since the id is the row of the embedding.
        missing = [word for word in SPECIAL_WORDS if word not in table]
        if missing:
            raise CheckpointError(
                f"the vocabulary has no {', '.join(missing)}: is it one of sencap's?"
            )
        words: dict[int, str] = {}
        for word, number in table.items():
            # Not isinstance: True and False are ints there, and JSON has them.
            if type(number) is not int:
                raise CheckpointError(
                    f"the id of {shown(word)} is {shown(number)}, but must be a "
                    "whole number"
                )
            if number in words:
                raise CheckpointError(
                    f"id {shown(number)} stands for both {shown(words[number])} and "
                    f"{shown(word)}"
                )
            words[number] = word
        gaps = [number for number in range(len(words)) if number not in words]
        if gaps:
            raise CheckpointError(
                f"the ids of {len(words)} words are 0 to {len(words) - 1}, without "
                f"gaps; missing: {gaps[:5]}"
            )
        return cls(tuple(words[number] for number in range(len(words))))

    def save(self, path: str | Path) -> None:
        """Write ``to_json()`` to ``path``, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        write_whole(path, self.to_json() + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """The vocabulary that ``save`` wrote.

        Raises:
            CheckpointError: no such file, not readable, or broken as in `from_json`;
                names the file.
        """
        table = read_json(
            path, most_megabytes=MOST_MEGABYTES, pairs_hook=_without_double_keys
        )
        try:
            return cls._from_table(table)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error


@dataclass(frozen=True)
class Coverage:
    """How much of some captions a vocabulary knows.

    ``words`` are the different words of the captions, ``known`` those of them that the
    vocabulary holds; ``unknown_share`` (0..1) is the share of all that is said,
    repetitions counted, that becomes ``<unk>``.
    """

    words: int
    known: int
    unknown_share: float

    @property
    def is_poor(self) -> bool:
        """Whether so much of what is said is unknown that most captions have holes."""
        return self.unknown_share > _MUCH_UNKNOWN

    def __str__(self) -> str:
        share = 100 * self.unknown_share
        return (
            f"{self.known:,} of {self.words:,} different words known, "
            f"{share:.1f} % of all words unknown"
        )


def coverage(captions: Iterable[Sequence[str]], vocabulary: Container[str]) -> Coverage:
    """How much of captions (sequences of words) a vocabulary, or any set of words,
    knows.

    >>> print(coverage([["a", "road"], ["a", "lake"]], {"a", "road"}))
    2 of 3 different words known, 25.0 % of all words unknown
    """
    counts = Counter(chain.from_iterable(captions))
    unknown = [word for word in counts if word not in vocabulary]
    said = counts.total()
    missed = sum(counts[word] for word in unknown)
    return Coverage(
        len(counts), len(counts) - len(unknown), missed / said if said else 0.0
    )


def _without_double_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The pairs of a JSON object as a dict, refusing a key that comes twice."""
    # JSON allows a key twice and keeps the last, which would drop a word silently.
    table = dict(pairs)
    if len(table) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        [(twice, _)] = counts.most_common(1)
        raise NotJsonError(f"it holds {shown(twice)} twice")
    return table
