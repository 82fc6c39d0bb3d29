"""What is gone: told by asking about the pair in reverse order.

A network that learnt from pictures of construction knows what comes, and hardly what
goes: where houses were torn down it sees no change. In reverse order the same pair is
one of houses that were built. So it is asked that, and its sentence is turned.
"""

from __future__ import annotations

import dataclasses

from sencap.data.reversal import reverse_words
from sencap.phrases import stumbles
from sencap.structures import Caption

SURE = 0.9
"""Told changed with this probability or more, a pair is not asked about in reverse
order. Of the selection pairs of the weights that ship all that were told changed in
both orders had less in the wrong one."""

NOTE = "seen in reverse order, and turned: what stood there is gone"

GONE = "something that was there has been removed"
"""What is said where no caption of the reverse order can be turned."""


def needs_reverse_order(here: Caption) -> bool:
    """Whether a pair is asked about in reverse order too: all but those told changed
    for sure."""
    return not (here.changed and _probability(here) >= SURE)


def likelier_order(here: Caption, reverse: Caption) -> Caption:
    """The caption of a pair, from that of the same pair with its dates swapped.

    Where the reverse order has changed, and is the likelier one, it is the best of its
    captions that can be turned into one that says no phrase twice, or `GONE`; the
    others of the kind are the alternatives. Log-probabilities are those of the captions
    before they were turned. Else it is ``here``. In both cases the probability of
    change is the larger one of the two orders.
    """
    probability = max(_probability(here), _probability(reverse))
    is_likelier = probability > _probability(here)
    if not (reverse.changed and is_likelier):
        return dataclasses.replace(here, change_probability=probability)
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
        change_probability=probability,
        reverse=True,
        note=NOTE,
    )


def _probability(caption: Caption) -> float:
    # It is known of all that are asked in either order.
    assert caption.change_probability is not None
    return caption.change_probability


def _turned(caption: Caption) -> Caption | None:
    words = reverse_words(caption.text.split())
    # Of two verbs the rule may make one, and so of two clauses one said twice.
    if words is None or stumbles(" ".join(words)):
        return None
    return dataclasses.replace(caption, text=" ".join(words), alternatives=())
