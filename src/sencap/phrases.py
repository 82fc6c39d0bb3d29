"""Sentences that stumble: they say a phrase twice."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_LINK = 2  # words between the two: "with", "and the"


def repeated_phrase(words: Sequence[str]) -> str:
    """The first phrase that a sentence says twice, at once or after one or two linking
    words.

    A phrase has at least two words; a single word counts where it follows itself. "" if
    there is none.

    >>> repeated_phrase("there is a residential area with a residential area".split())
    'a residential area'
    >>> repeated_phrase("houses on both sides of the road and trees along the road".split())
    ''
    """
    # Every start and every length of a phrase, the longest first, so that "a
    # residential area" is found before "area".
    for first in range(len(words)):
        for length in range((len(words) - first) // 2, 0, -1):
            phrase = list(words[first : first + length])
            # A single word repeated after a link is plain English ("the house and the
            # road").
            links = range(LONGEST_LINK + 1) if length > 1 else range(1)
            starts = [first + length + link for link in links]
            if any(list(words[start : start + length]) == phrase for start in starts):
                return " ".join(phrase)
    return ""


def stumbles(sentence: str) -> bool:
    """Whether a sentence says a phrase twice.

    >>> stumbles("houses are removed and houses are removed")
    True
    """
    return bool(repeated_phrase(sentence.split()))
