"""From captioned pairs to scores: the two protocols, the change split, change accuracy,
and ``score_pairs``.

Two protocols, never mixed: ``ids`` (what the literature of this task reports) encodes
hypotheses and references with the vocabulary, rare words becoming the unknown id on
both sides, and scores the ids as if they were words; ``words`` scores the lower-case
words themselves. Every pair counts, one with an empty hypothesis too.

METEOR must see nothing but names in the ids, yet its table of paraphrases knows numbers
("102" passes for "103"). With plain ids the score would depend on which word got which
number: S*m of the constant row moves by up to 0.4 with the order of the vocabulary. So
ids are written from ID_BASE upwards, where the table has nothing, and no order of the
words changes any score.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from sencap.data.vocabulary import (
    NO_CHANGE_SENTENCES,
    coverage,
    learn_no_change,
    says_no_change,
)
from sencap.evaluation.bootstrap import FEWEST_PAIRS
from sencap.evaluation.metrics import References, Tokens, check_scorable, cider_is_zero
from sencap.evaluation.names import PROTOCOLS, SUBSETS
from sencap.evaluation.reference_rows import ProtocolRows, ReferenceRow, ScoredSentences
from sencap.evaluation.scoring import Scores, Scoring, score_all
from sencap.evaluation.statistics import (
    Flags,
    PairStatistics,
    System,
    agree,
    as_flags,
    members,
)

ID_BASE = 1_000_000
"""Added to an id where it is written out; see above."""
# At most so many of a data set's own sentences are named in a note.
_SHOWN = 5
# Frequent in English captions and rare in other languages, as "a", "in", "is" and "on"
# are not
_SMALL_WORDS = frozenset(
    (
        "the",
        "are",
        "there",
        "has",
        "have",
        "been",
        "with",
        "and",
        "of",
        "from",
        "by",
        "at",
    )
)
# Far below the shares that were measured in English captions.
_ENGLISH_SHARE = 0.05
"""LEVIR-CC's captions of changes have 0.30, Dubai-CC's 0.2."""
FLAGS_UNKNOWN = (
    "Which pairs changed is not known: the data set has neither changeflag nor a "
    "known sentence of no change"
)


class WordEncoder(Protocol):
    """What evaluation asks of a vocabulary: ids for words, its size, and a hash that
    tells it from others."""

    def encode(self, words: Sequence[str], /) -> list[int]:
        """Ids of the words, without start or end; a word it does not know gets the
        unknown id."""

    def __len__(self) -> int: ...

    def __contains__(self, word: object, /) -> bool:
        """Whether a word has an id of its own."""

    @property
    def digest(self) -> str:
        """SHA-256 of the vocabulary, in hexadecimal."""


@dataclass(frozen=True)
class ScoredPair:
    """One pair as it is scored: words of its references and of the hypothesis, without
    start and end.

    log_prob: of the hypothesis, natural logarithm; None where it is not known. changed:
    the pair's change flag, not what the hypothesis says; None where it is not known.
    change_probability: the model's, 0 to 1.
    """

    filename: str
    references: Sequence[Sequence[str]]
    hypothesis: Sequence[str]
    log_prob: float | None
    changed: bool | None
    change_probability: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """What ``score_pairs`` found; ``report`` turns it into a dictionary, Markdown and
    signatures.

    scores: protocol → subset → scores. pair_scores: per pair, protocol → scores.
    system: what the scores were added up from, pair by pair. rows: the reference rows
    by name. told: per pair whether the hypothesis says that something changed, None
    where that cannot be told. change_accuracy, and confusion: truth → what the
    hypothesis says → number of pairs; None where the flags are not known or it cannot
    be told what the hypotheses say. notes: what a reader has to know, such as why
    METEOR is missing.
    """

    pairs: Sequence[ScoredPair]
    scores: Mapping[str, Mapping[str, Scores]]
    pair_scores: Sequence[Mapping[str, Scores]]
    system: System
    rows: Mapping[str, ReferenceRow]
    told: Sequence[bool | None]
    change_accuracy: float | None
    confusion: Mapping[str, Mapping[str, int]] | None
    vocabulary_size: int
    vocabulary_digest: str
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def has_meteor(self) -> bool:
        """Whether METEOR, and with it S*m, could be had."""
        return self.scores["words"]["all"]["METEOR"] is not None


def texts(words: Sequence[str], protocol: str, encoder: WordEncoder) -> tuple[str, ...]:
    """A caption's tokens under a protocol of PROTOCOLS: its ids as strings, or its
    lower-case words."""
    if protocol == "ids":
        # Unknown words all become the one unknown id, so that they match each other.
        return tuple(str(ID_BASE + number) for number in encoder.encode(words))
    return tuple(" ".join(words).lower().split())


def told_changed(
    pairs: Sequence[ScoredPair], encoder: WordEncoder, sentences: Collection[str] = ()
) -> list[bool | None]:
    """Whether each hypothesis says that something changed: it is no sentence of no
    change.

    Such are the known ones (`says_no_change`) and ``sentences``, the data set's own.
    All are None if it cannot be told: less than half of what the references of the
    unchanged pairs say is one, or no hypothesis is, and the vocabulary has the words of
    none that these references use.
    """
    told: list[bool | None] = [
        not says_no_change(pair.hypothesis, sentences) for pair in pairs
    ]
    # The sentences of no change that the vocabulary is asked about: those that the
    # unchanged pairs use, or without such pairs the five fixed ones.
    sayable: list[Sequence[str]] = [
        sentence.split() for sentence in NO_CHANGE_SENTENCES
    ]
    unchanged = [pair.references for pair in pairs if pair.changed is False]
    if unchanged:
        said = list(itertools.chain.from_iterable(unchanged))
        sayable = [words for words in said if says_no_change(words, sentences)]
        # Whoever does not know the people's sentences cannot judge a captioner's.
        if 2 * len(sayable) < len(said):
            return [None] * len(pairs)
    if False in told:
        return told
    # All tell of a change. Could this vocabulary have told of none at all?
    for words in sayable:
        if all(word in encoder for word in words):
            return told
    return [None] * len(pairs)


def confusion_table(
    changed: Sequence[bool], told: Sequence[bool]
) -> dict[str, dict[str, int]]:
    """Truth → what the hypothesis says → pairs, over "changed" and "unchanged"."""
    name = {True: "changed", False: "unchanged"}
    table = {truth: {"changed": 0, "unchanged": 0} for truth in name.values()}
    for truth, said in zip(changed, told, strict=True):
        table[name[bool(truth)]][name[bool(said)]] += 1
    return table


def data_digest(pairs: Sequence[ScoredPair]) -> str:
    """SHA-256 of what is evaluated against: file names, references and change flags, in
    their order."""
    # File names, flags and references, and no hypothesis: two systems on the same pairs
    # have the same digest.
    content = [
        [pair.filename, pair.changed, list(map(" ".join, pair.references))]
        for pair in pairs
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def score_pairs(
    pairs: Sequence[ScoredPair],
    encoder: WordEncoder,
    *,
    no_change: Sequence[str] | None = None,
    rows: bool = True,
    time_limit: float = 600.0,
) -> Evaluation:
    """Score captioned pairs under both protocols, on all, the changed and the unchanged
    pairs.

    pairs: at least one, each with one or more references. no_change: the data set's own
    sentences of no change, in lower case; None: they are learnt from the flags of these
    pairs. rows: compute the reference rows too, most of the work (the search for the
    best constant sentence). time_limit: seconds METEOR may take. Without Java the other
    metrics still come: METEOR and S*m are None then, and ``notes`` says why. Raises
    DataError when there is no pair, or a pair has no reference.
    """
    captions = [pair.references for pair in pairs]
    check_scorable([pair.hypothesis for pair in pairs], captions)
    changed = [pair.changed for pair in pairs]
    # Flags as numbers, with NaN for all if one is not known: see `as_flags`.
    flags = as_flags(changed)
    # First whether each caption tells of a change, and whether that is right: it takes
    # the data set's own ways of saying that nothing changed.
    own_sentences = _own_sentences(captions, changed, no_change)
    told = told_changed(pairs, encoder, own_sentences)
    right = agree(flags, as_flags(told))
    # One pair that cannot be judged makes the accuracy unknown, as for all flags here.
    judged = not np.isnan(right).any()

    # One start of Java takes seconds, so all that is scored goes through one: the
    # hypotheses of each protocol, then what the rows need.
    sets: list[tuple[Sequence[Tokens], References]] = []
    wanted: dict[str, ProtocolRows] = {}
    for protocol in PROTOCOLS:
        encode = partial(texts, protocol=protocol, encoder=encoder)
        references = [list(map(encode, sentences)) for sentences in captions]
        sets.append(([encode(pair.hypothesis) for pair in pairs], references))
        if rows:
            wanted[protocol] = ProtocolRows(
                captions, references, flags, encode, own_sentences
            )
    for of_protocol in wanted.values():
        sets += of_protocol.sets
    scorings, missing = score_all(sets, time_limit=time_limit)

    # The scorings come back in that order, and are handed out again.
    own = dict(zip(PROTOCOLS, scorings, strict=False))
    rest = iter(scorings[len(PROTOCOLS) :])
    found: dict[str, Mapping[str, ScoredSentences]] = {}
    for protocol, of_protocol in wanted.items():
        found[protocol] = of_protocol.finish(
            list(itertools.islice(rest, len(of_protocol.sets)))
        )
    statistics = {
        name: PairStatistics.of(scoring, flags) for name, scoring in own.items()
    }
    # What a reader has to know of the figures, such as why some are missing.
    notes = _notes(pairs, encoder, flags, judged=judged, own_sentences=own_sentences)
    if missing is not None:
        notes.insert(0, f"No METEOR, and so no S*m: {missing}")
    return Evaluation(
        pairs=pairs,
        scores={
            protocol: _by_subset(scoring, flags) for protocol, scoring in own.items()
        },
        pair_scores=_by_pair(own),
        system=System(statistics, changed=flags, right=right),
        rows=_by_row(found),
        told=told,
        change_accuracy=float(right.mean()) if judged else None,
        confusion=confusion_table(flags == 1, as_flags(told) == 1) if judged else None,
        vocabulary_size=len(encoder),
        vocabulary_digest=encoder.digest,
        notes=notes,
    )


def _own_sentences(
    captions: References, changed: Sequence[bool | None], given: Sequence[str] | None
) -> list[str]:
    """The data set's own sentences of no change, those most frequent in these pairs
    first."""
    learnt = learn_no_change(captions, changed)
    if given is None:
        return list(learnt)
    # The data set as a whole knows better which sentences are of no change.
    known = set(given)
    frequent = [sentence for sentence in learnt if sentence in known]
    return list(dict.fromkeys([*frequent, *given]))


def _by_subset(scoring: Scoring, flags: Flags) -> dict[str, Scores]:
    return {
        subset: scoring.total(members(flags, subset).tolist()) for subset in SUBSETS
    }


def _by_pair(scorings: Mapping[str, Scoring]) -> list[dict[str, Scores]]:
    """Per pair, protocol → scores."""
    each = [scoring.each() for scoring in scorings.values()]
    return [
        dict(zip(scorings, scores, strict=True)) for scores in zip(*each, strict=True)
    ]


def _by_row(
    found: Mapping[str, Mapping[str, ScoredSentences]],
) -> dict[str, ReferenceRow]:
    """The rows of all protocols, by their names."""
    rows: dict[str, ReferenceRow] = {}
    for protocol, of_protocol in found.items():
        for name, (scores, sentences) in of_protocol.items():
            row = rows.setdefault(name, ReferenceRow({}, {}))
            row.scores[protocol] = scores
            row.sentences[protocol] = sentences
    return rows


def _notes(
    pairs: Sequence[ScoredPair],
    encoder: WordEncoder,
    flags: Flags,
    *,
    judged: bool,
    own_sentences: Sequence[str],
) -> list[str]:
    """What a reader has to know of the figures, but for METEOR."""
    notes = _notes_on_change(flags, judged=judged, own_sentences=own_sentences)
    for subset in SUBSETS:
        rows = members(flags, subset)
        notes += _notes_on_subset(
            subset, [pairs[row].references for row in rows], encoder
        )
    of_pairs = [pair.references for pair in pairs]
    references = list(itertools.chain.from_iterable(of_pairs))
    if not _looks_english(references):
        notes.append(
            "METEOR's stems, synonyms and paraphrases are English ones: for captions "
            "in another language it counts equal words only, and some by mistake."
        )
    covered = coverage(references, encoder)
    if covered.is_poor:
        notes.append(
            f"Scores under ids say little: of the references {covered}, and unknown "
            "words match each other."
        )
    return notes


def _notes_on_change(
    flags: Flags, *, judged: bool, own_sentences: Sequence[str]
) -> list[str]:
    """What is known of the change flags, and of the ways to say that nothing
    changed."""
    if np.isnan(flags).any():
        return [
            f"{FLAGS_UNKNOWN}. So there are no scores of changed and unchanged "
            "pairs, no change accuracy, and no rows of a perfect flag. Add "
            "changeflag (0 or 1) to each pair; see docs/data.md."
        ]
    notes = notes_on_absent(flags)
    # Those that everybody knows by the five sentences or the phrases need no mention.
    new = [
        sentence for sentence in own_sentences if not says_no_change(sentence.split())
    ]
    if new:
        shown = "; ".join(new[:_SHOWN])
        if len(new) > _SHOWN:
            shown += f"; and {len(new) - _SHOWN} more"
        notes.append(
            "The data set's own sentences of no change, named, or learnt from the "
            f"change flags since no changed pair has them: {shown}."
        )
    if not judged:
        notes.append(
            "Whether a caption tells of a change is not known, so there is no change "
            "accuracy: most of the sentences of the unchanged pairs are no known "
            "sentences of no change, or no caption is one and the vocabulary lacks "
            "their words. Name the data set's own: --no-change, or a list no_change "
            "in its caption file."
        )
    return notes


def notes_on_absent(flags: Flags) -> list[str]:
    """What a reader has to know where there is no changed pair, or no unchanged one."""
    if np.isnan(flags).any():
        return []
    absent = [
        kind for kind in ("changed", "unchanged") if not members(flags, kind).size
    ]
    return [
        f"There is no {kind} pair: nothing here shows whether the captions tell change from no "
        "change."
        for kind in absent
    ]


def _notes_on_subset(
    subset: str, captions: References, encoder: WordEncoder
) -> list[str]:
    """Why some pairs, scored by themselves, have no interval or no CIDEr; captions: the
    references of each."""
    if not captions:
        return []
    whose = said_of(subset)
    notes = []
    if len(captions) < FEWEST_PAIRS:
        notes.append(
            f"No interval of {whose}: there are {len(captions)}, and fewer than "
            f"{FEWEST_PAIRS} say nothing of others."
        )
    # The two protocols can differ: rare words are alike under ids and not as words.
    alike = []
    for protocol in PROTOCOLS:
        encode = partial(texts, protocol=protocol, encoder=encoder)
        if cider_is_zero([list(map(encode, sentences)) for sentences in captions]):
            alike.append(protocol)
    # S*m is the mean of four scores of at most 100; with CIDEr at 0 three are left.
    if alike:
        where = f" under {alike[0]}" if len(alike) < len(PROTOCOLS) else ""
        reason = "there is one pair"
        if len(captions) > 1:
            reason = "they all have the same references, or the same phrases in them"
        notes.append(
            f"CIDEr of {whose}{where} is 0 by construction, whatever the hypotheses: "
            f"{reason}, and CIDEr gives no weight to what is said of every pair. "
            "Their S*m can reach 75 at most."
        )
    return notes


def said_of(subset: str) -> str:
    """What a subset is called in a sentence."""
    return "all pairs" if subset == "all" else f"the {subset} pairs by themselves"


def _looks_english(captions: Iterable[Sequence[str]]) -> bool:
    """Whether captions have as many of English's small words as English has.

    Known sentences of no change do not count, if there are others: a set in another
    language may have taken those over.
    """
    captions = list(captions)
    others = [words for words in captions if not says_no_change(words)]
    said = list(itertools.chain.from_iterable(others or captions))
    small = sum(word in _SMALL_WORDS for word in said)
    return small >= _ENGLISH_SHARE * len(said)
