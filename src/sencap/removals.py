"""What is gone: told by asking for the pair in reverse order.

A network that learnt from pictures of construction knows what comes, and hardly what
goes: where houses were torn down it sees no change. In reverse order the same pair is
one of houses that were built. So it is asked that, and its sentence is turned.
"""

from __future__ import annotations

import dataclasses

from sencap.data.reversal import reverse_words
from sencap.structures import Caption

NOTE = "seen in reverse order, and turned: what stood there is gone"

GONE = "something that was there has been removed"
"""What is said where no caption of the reverse order can be turned."""


def told_of_removal(here: Caption, reverse: Caption) -> Caption:
    """The caption of a pair that was told unchanged, from that of the same pair with its
    dates swapped.

    Where nothing changed in reverse order either, it is ``here``, with the larger of
    the two probabilities of change. Else it is the best caption of the reverse order
    that `reverse_words` can turn, or `GONE`; the others that it can turn are the
    alternatives. Log-probabilities are those of the captions before they were turned.
    """
    if not reverse.changed:
        return _with_larger_probability(here, reverse)
    turned = [
        sentence
        for caption in (reverse, *reverse.alternatives)
        if (sentence := _turned(caption)) is not None
    ]
    gone = dataclasses.replace(reverse, text=GONE, alternatives=())
    best, *others = turned or [gone]
    return dataclasses.replace(
        best,
        alternatives=tuple(others),
        change_probability=reverse.change_probability,
        reverse=True,
        note=NOTE,
    )


def _with_larger_probability(here: Caption, reverse: Caption) -> Caption:
    told = (here.change_probability, reverse.change_probability)
    known = [probability for probability in told if probability is not None]
    return dataclasses.replace(here, change_probability=max(known, default=None))


def _turned(caption: Caption) -> Caption | None:
    words = reverse_words(caption.text.split())
    if words is None:
        return None
    return dataclasses.replace(caption, text=" ".join(words), alternatives=())
