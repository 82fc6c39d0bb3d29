"""The caption of a pair whose dates are swapped: what was built is removed.

A rule by words, for training: it gives a true sentence or none. A sentence that speaks
of change in a way that the rule does not know has no reverse.
"""

from __future__ import annotations

from collections.abc import Sequence

# What comes, and what goes: the first word of a pair is turned into the second, and
# back.
_VERBS = (
    ("appear", "disappear"),
    ("appears", "disappears"),
    ("appeared", "disappeared"),
    ("appearing", "disappearing"),
    ("emerge", "disappear"),
    ("emerges", "disappears"),
    ("emerged", "disappeared"),
    ("built", "removed"),
    ("constructed", "removed"),
    ("erected", "removed"),
    ("added", "removed"),
    ("built", "demolished"),
)
_TO_GONE = dict(reversed(_VERBS))  # of a word with two, the first counts
# "trees are removed" becomes "trees are added", which fits whatever it was
_TO_COME = {gone: come for come, gone in reversed(_VERBS)} | {"removed": "added"}
REVERSED = _TO_GONE | _TO_COME

# Change told in other ways: as an exchange, as a state, as an amount.
_UNKNOWN = frozenset(
    {
        "replace",
        "replaces",
        "replaced",
        "replacing",
        "become",
        "becomes",
        "became",
        "turn",
        "turns",
    }
    | {
        "turned",
        "turning",
        "more",
        "fewer",
        "less",
        "increase",
        "increased",
        "increases",
        "change",
    }
    | {
        "changed",
        "changes",
        "developed",
        "expanded",
        "extended",
        "widened",
        "cleared",
        "paved",
    }
    | {"planted", "completed", "rebuilt", "converted", "transformed", "instead", "into"}
)


def reverse_words(words: Sequence[str]) -> list[str] | None:
    """The caption of the pair in reverse order, None where the rule knows none.

    >>> " ".join(reverse_words("some new houses are built and trees disappear".split()))
    'some houses are removed and trees appear'
    >>> reverse_words("the bareland becomes a road".split()) is None
    True
    """
    if not _UNKNOWN.isdisjoint(words) or REVERSED.keys().isdisjoint(words):
        return None
    # What is gone was not new: "a new house is built" becomes "a house is removed".
    return [REVERSED.get(word, word) for word in words if word != "new"]
