"""Whether a pair changed: told by its flag, or else by its sentences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sencap.data.entries import (
    CaptionedPair,
    CaptionEntry,
    PairProblem,
    all_captions,
)
from sencap.data.vocabulary import learn_no_change, normalise, says_no_change
from sencap.errors import SettingsError
from sencap.json_files import shown

ADVICE_ON_FLAGS = (
    "Add changeflag (0 or 1) to each entry, or name the data set's own sentences of "
    "no change: --no-change, or a list no_change beside images in the caption file"
)


def told_by_sentences(entries: Sequence[CaptionEntry | CaptionedPair]) -> str:
    """What a reader of change figures has to know where flags were told from LEVIR-CC's
    and Dubai-CC's English sentences alone; "" where none was."""
    # Pairs whose flag was told from their sentences and stands in no file.
    told = [
        entry for entry in entries if not entry.flagged and entry.changed is not None
    ]
    if not told or any(entry.no_change for entry in entries):
        return ""
    return (
        f"whether a pair changed is told from its sentences for {len(told):,} of "
        f"{len(entries):,} pairs, which have no changeflag: most of those of an "
        "unchanged one are LEVIR-CC's or Dubai-CC's of no change, and any other "
        f"wording counts as a change. {ADVICE_ON_FLAGS}"
    )


def checked_sentences(sentences: Collection[str] | None) -> list[str]:
    """Sentences as captions are compared: in lower case, without punctuation.

    Raises:
        SettingsError: one without words.
    """
    if isinstance(sentences, str):
        sentences = [sentences]
    found = []
    for sentence in sentences or ():
        words = normalise(sentence.split()) if isinstance(sentence, str) else ()
        if not words:
            raise SettingsError(
                f"no_change: {shown(sentence)} is no sentence; give words"
            )
        found.append(" ".join(words))
    return found


def with_flags(
    entries: list[CaptionEntry], named: Sequence[str]
) -> tuple[list[CaptionEntry], list[PairProblem]]:
    """The entries with missing change flags told from their sentences, and a warning
    for each flag against these; ``named``: sentences of no change that were named.

    A flag stays missing (None) if no sentence of the data set is known to be one of no
    change.
    """
    captions = [entry.captions for entry in entries]
    learnt = learn_no_change(captions, [entry.changed for entry in entries])
    own = tuple(dict.fromkeys([*named, *learnt]))
    counts = []
    for sentences in captions:
        counts.append(sum(says_no_change(words, own) for words in sentences))
    # Without one known sentence of no change in all the data, a pair without such a
    # sentence shows nothing: the data set may have another wording or language.
    known = any(counts)
    flagged = []
    for entry, count in zip(entries, counts, strict=True):
        changed = entry.changed
        if changed is None and known:
            # A pair is unchanged if more than half of its sentences say so; a tie
            # counts as changed.
            changed = 2 * count <= len(entry.captions)
        is_given = entry.changed is not None
        flagged.append(replace(entry, changed=changed, flagged=is_given, no_change=own))
    return flagged, _flags_against_sentences(entries, counts)


def _flags_against_sentences(
    entries: Sequence[CaptionEntry], counts: Sequence[int]
) -> list[PairProblem]:
    """A warning for each flag that most sentences contradict; counts: each entry's
    sentences of no change.

    Where the unchanged pairs have ways of their own to say so, a sentence tells of a
    change only if it is said of changed pairs too.
    """
    unchanged = all_captions(entry for entry in entries if entry.changed is False)
    # Whether the unchanged pairs are told in LEVIR-CC's sentences, so that any other
    # sentence tells a change.
    usual = any(says_no_change(words) for words in unchanged)
    of_changed = set(all_captions(entry for entry in entries if entry.changed))
    problems = []
    for entry, count in zip(entries, counts, strict=True):
        half = len(entry.captions) / 2
        # How many sentences tell of a change: in the usual wording all that do not tell
        # of none.
        change = len(entry.captions) - count
        if not usual:
            change = sum(words in of_changed for words in entry.captions)
        # Either direction of contradiction is a warning only: the flag is the file's
        # word, and stays.
        if entry.changed and count > half:
            says = "no change"
        elif entry.changed is False and change >= half > 0:
            says = "a change"
        else:
            continue
        file, place = entry.source.rsplit(": ", 1)
        what = f"changeflag is {int(entry.changed)}, but most of its sentences tell of {says}"
        problems.append(PairProblem(file, place, what, "warning"))
    return problems
