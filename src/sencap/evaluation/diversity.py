"""How different a system's captions are, and whether they stumble.

Scores cannot tell a system that says one good sentence of everything from one that
describes. Here the captions of the changed pairs are counted, beside what people do
with the same pairs, and sentences that say a phrase twice ("a residential area with a
residential area") are found.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Protocol

from sencap.phrases import repeated_phrase


class _Said(Protocol):
    """What is asked of a pair."""

    @property
    def references(self) -> Sequence[Sequence[str]]:
        """What people said of it."""

    @property
    def hypothesis(self) -> Sequence[str]:
        """What the system said of it."""

    @property
    def changed(self) -> bool | None:
        """Whether it changed, where that is known."""


def diversity(pairs: Sequence[_Said]) -> dict[str, Any] | None:
    """Of the changed pairs: how many there are, how many captions differ from each
    other, and how many do of one sentence of a person each; None without changed pairs.

    The people's number is the mean over the first, second, … sentences of the pairs
    that have so many. ``repeats`` are the sentences, of all pairs, that say a phrase
    twice.
    """
    changed = [pair for pair in pairs if pair.changed]
    if not changed:
        return None
    said = {tuple(pair.hypothesis) for pair in changed}
    people = []
    # One sentence per pair, as the system gives: five at a time would differ more often
    # merely because there are more of them.
    for number in range(min(len(pair.references) for pair in changed)):
        people.append(len({tuple(pair.references[number]) for pair in changed}))
    stumbling = {
        " ".join(pair.hypothesis) for pair in pairs if repeated_phrase(pair.hypothesis)
    }
    return {
        "changed_pairs": len(changed),
        "different": len(said),
        "different_of_people": statistics.mean(people) if people else None,
        "repeats": sorted(stumbling),
    }
