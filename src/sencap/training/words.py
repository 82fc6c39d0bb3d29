"""What a training run says of its captions before it starts: how many, and how much of
them the vocabulary knows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from sencap.config import TrainingSettings
from sencap.data.entries import CaptionedPair, all_captions
from sencap.data.vocabulary import MOST_SENTENCES, SPECIAL_WORDS, Vocabulary, coverage

# Fewer words than these are hardly enough for captions: LEVIR-CC's vocabulary at the
# paper's minimum has some 500.
FEW_WORDS = 30

_log = logging.getLogger("sencap")


def tell_words(
    train: Sequence[CaptionedPair],
    val: Sequence[CaptionedPair],
    vocabulary: Vocabulary,
    settings: TrainingSettings,
) -> None:
    """Log pairs, captions, words known and unknown; warn where the captions cannot be
    learnt from such words."""
    longest = settings.decoder.max_words
    words = len(vocabulary) - len(SPECIAL_WORDS)
    poor = False
    for use, pairs in (("training", train), ("validation", val)):
        captions = all_captions(pairs)
        covered = coverage(captions, vocabulary)
        poor |= covered.is_poor
        # Few words that cover the captions wholly are no fault: the captions are
        # simple.
        poor |= words < FEW_WORDS and covered.known < covered.words
        _log.info(
            f"{use}: {len(pairs):,} pairs with {len(captions):,} captions; {covered}"
        )
        cut = sum(len(caption) > longest for caption in captions)
        if cut:
            _log.info(
                f"{use}: {cut:,} captions have more than decoder.max_words={longest} "
                "words, and are cut"
            )
        # Such pairs teach words, and nothing to the flag head.
        unknown = sum(pair.changed is None for pair in pairs)
        if unknown:
            _log.info(
                f"{use}: of {unknown:,} pairs it is not known whether they changed; "
                "training does without"
            )
    if poor:
        _log.warning(
            f"the vocabulary has {words:,} words only, too few for these captions; "
            f"{_advice(settings)}"
        )


def own_no_change(pairs: Iterable[CaptionedPair]) -> tuple[str, ...]:
    """With what the data sets of these pairs say that nothing changed, the most
    frequent first; `MOST_SENTENCES` at most."""
    found: dict[str, None] = {}
    # Dictionaries without values: sets that keep the order, the most frequent first.
    for sentences in dict.fromkeys(pair.no_change for pair in pairs):
        found.update(dict.fromkeys(sentences))
    return tuple(found)[:MOST_SENTENCES]


def _advice(settings: TrainingSettings) -> str:
    if settings.start is not None:
        return (
            f"it is that of start={settings.start}; "
            "without start the words of the data are counted"
        )
    minimum = settings.vocabulary.minimum_count
    counted = settings.vocabulary.captions or "the data"
    return (
        f"a word is kept if {counted} has it vocabulary.minimum_count={minimum} "
        "times; give fewer, such as 1 or 2, for a small data set"
    )
