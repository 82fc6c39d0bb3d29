"""From captioned pairs to scores: the two protocols, the change split, change accuracy, and ``evaluate``.

Two protocols, never mixed: ``ids`` (what the literature of this task reports) encodes hypotheses and
references with the vocabulary, rare words becoming the unknown id on both sides, and scores the ids as if
they were words; ``words`` scores the lower-case words themselves. Every pair counts, one with an empty
hypothesis too.

METEOR must see nothing but names in the ids, yet its table of paraphrases knows numbers ("102" passes for
"103"). With plain ids the score would depend on which word got which number: S*m of the constant row moves
by up to 0.4 with the order of the vocabulary. So ids are written from ID_BASE upwards, where the table has
nothing, and no order of the words changes any score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from sencap.data.vocabulary import NO_CHANGE_SENTENCES
from sencap.evaluation.metrics import check
from sencap.evaluation.reference_rows import Plan, ReferenceRow
from sencap.evaluation.scoring import Scores, score_all
from sencap.evaluation.statistics import SUBSETS, PairStatistics, System, members

PROTOCOLS = ("ids", "words")
ID_BASE = 1_000_000
"""Added to an id where it is written out; see above."""


class Encoder(Protocol):
    """What evaluation asks of a vocabulary: ids for words, its size, and a hash that tells it from others."""

    def encode(self, words: Sequence[str], /) -> list[int]:
        """Ids of the words, without start or end; a word it does not know gets the unknown id."""

    def __len__(self) -> int: ...

    @property
    def digest(self) -> str:
        """SHA-256 of the vocabulary, in hexadecimal."""


@dataclass(frozen=True)
class CaptionedPair:
    """One pair as it is evaluated: words of its references and of the hypothesis, without start and end.

    log_prob: of the hypothesis, natural logarithm. changed: the pair's change flag, not what the hypothesis
    says.
    """

    filename: str
    references: Sequence[Sequence[str]]
    hypothesis: Sequence[str]
    log_prob: float
    changed: bool

    @property
    def told_changed(self) -> bool:
        """Whether the hypothesis says that something changed: it is none of the five fixed sentences."""
        return " ".join(self.hypothesis).lower() not in NO_CHANGE_SENTENCES


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found; ``report`` turns it into a dictionary, Markdown and signatures.

    scores: protocol → subset → scores. pair_scores: per pair, protocol → scores. system: what the scores were
    added up from, pair by pair. rows: the reference rows by name. confusion: truth → what the hypothesis says
    → number of pairs. notes: what a reader has to know, such as why METEOR is missing.
    """

    pairs: Sequence[CaptionedPair]
    scores: Mapping[str, Mapping[str, Scores]]
    pair_scores: Sequence[Mapping[str, Scores]]
    system: System
    rows: Mapping[str, ReferenceRow]
    change_accuracy: float
    confusion: Mapping[str, Mapping[str, int]]
    vocabulary_size: int
    vocabulary_digest: str
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def has_meteor(self) -> bool:
        """Whether METEOR, and with it S*m, could be had."""
        return self.scores["words"]["all"]["METEOR"] is not None


def texts(words: Sequence[str], protocol: str, encoder: Encoder) -> tuple[str, ...]:
    """A caption's tokens under a protocol of PROTOCOLS: its ids as strings, or its lower-case words."""
    if protocol == "ids":
        return tuple(str(ID_BASE + number) for number in encoder.encode(words))
    return tuple(" ".join(words).lower().split())


def confusion_table(pairs: Sequence[CaptionedPair]) -> dict[str, dict[str, int]]:
    """Truth → what the hypothesis says → pairs, over "changed" and "unchanged"."""
    table = {truth: {"changed": 0, "unchanged": 0} for truth in ("changed", "unchanged")}
    for pair in pairs:
        table[_name(pair.changed)][_name(pair.told_changed)] += 1
    return table


def change_accuracy(pairs: Sequence[CaptionedPair]) -> float:
    """Share of pairs, 0..1, whose hypothesis tells change from no change rightly. Needs at least one pair."""
    return sum(pair.changed == pair.told_changed for pair in pairs) / len(pairs)


def _name(changed: bool) -> str:
    return "changed" if changed else "unchanged"


def data_digest(pairs: Sequence[CaptionedPair]) -> str:
    """SHA-256 of what is evaluated against: file names, references and change flags, in their order."""
    content = [
        [pair.filename, pair.changed, [" ".join(caption) for caption in pair.references]] for pair in pairs
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def evaluate(
    pairs: Sequence[CaptionedPair], encoder: Encoder, *, rows: bool = True, time_limit: float = 600.0
) -> Evaluation:
    """Score captioned pairs under both protocols, on all, the changed and the unchanged pairs.

    pairs: at least one, each with one or more references. rows: compute the reference rows too, most of the
    work (the search for the best constant sentence). time_limit: seconds METEOR may take. Without Java the
    other metrics still come: METEOR and S*m are None then, and ``notes`` says why.
    Raises DataError when there is no pair, or a pair has no reference.
    """
    check([pair.hypothesis for pair in pairs], [pair.references for pair in pairs])
    changed = [pair.changed for pair in pairs]
    sets, plans = [], []
    for protocol in PROTOCOLS:
        references = [[texts(words, protocol, encoder) for words in pair.references] for pair in pairs]
        sets.append(([texts(pair.hypothesis, protocol, encoder) for pair in pairs], references))
        if rows:
            captions = [pair.references for pair in pairs]
            plans.append(
                Plan(captions, references, changed, partial(texts, protocol=protocol, encoder=encoder))
            )
    wanted = [one for plan in plans for one in plan.sets]
    scorings, note = score_all([*sets, *wanted], time_limit=time_limit)
    own, rest = scorings[: len(sets)], iter(scorings[len(sets) :])
    flags = np.array(changed, dtype=np.bool_)
    each = [scoring.each() for scoring in own]
    found = [plan.finish([next(rest) for _ in plan.sets]) for plan in plans]
    names = list(found[0]) if found else []
    return Evaluation(
        pairs=pairs,
        scores={
            protocol: {subset: scoring.total(members(flags, subset).tolist()) for subset in SUBSETS}
            for protocol, scoring in zip(PROTOCOLS, own, strict=True)
        },
        pair_scores=[dict(zip(PROTOCOLS, both, strict=True)) for both in zip(*each, strict=True)],
        system=System(
            {p: PairStatistics.of(scoring, flags) for p, scoring in zip(PROTOCOLS, own, strict=True)},
            changed=flags,
            right=np.array([pair.changed == pair.told_changed for pair in pairs]),
        ),
        rows={
            name: ReferenceRow(
                scores={p: rows_of[name][0] for p, rows_of in zip(PROTOCOLS, found, strict=True)},
                sentences={p: rows_of[name][1] for p, rows_of in zip(PROTOCOLS, found, strict=True)},
            )
            for name in names
        },
        change_accuracy=change_accuracy(pairs),
        confusion=confusion_table(pairs),
        vocabulary_size=len(encoder),
        vocabulary_digest=encoder.digest,
        notes=_notes(pairs, note),
    )


def _notes(pairs: Sequence[CaptionedPair], meteor: str | None) -> list[str]:
    notes = [] if meteor is None else [f"No METEOR, and so no S*m: {meteor}"]
    unchanged = [sorted(" ".join(words) for words in pair.references) for pair in pairs if not pair.changed]
    if unchanged and all(captions == unchanged[0] for captions in unchanged):
        notes.append(
            "CIDEr of the unchanged pairs by themselves is 0 by construction, whatever the hypotheses: they "
            "all have the same references, and CIDEr gives no weight to what is said of every pair. "
            "Their S*m can reach 75 at most."
        )
    return notes
