"""Scores captions that any system wrote, without a model: as `sencap evaluate` scores
its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sencap.config import Split, VocabularySettings
from sencap.data.entries import CaptionedPair, CaptionEntry, all_captions
from sencap.data.importing.matching import captions_of_pairs
from sencap.data.importing.predictions import read_predictions
from sencap.data.levir_cc import read_captions, read_dataset
from sencap.data.vocabulary import Vocabulary, coverage
from sencap.files import check_inputs
from sencap.reporting import (
    CaptionSaid,
    check_report_files,
    report_of,
    warn_of_flags,
    write_report,
)


def score(
    captions: str | Path,
    data: str | Path,
    *,
    split: Split | Sequence[Split] = "test",
    vocabulary: str | Path | None = None,
    json: str | Path | None = None,
    markdown: str | Path | None = None,
    page: str | Path | None = None,
    no_change: Collection[str] | None = None,
) -> dict[str, Any]:
    """Score anybody's captions of the pairs of one or more splits under both protocols.

    ``captions`` is a file of names and sentences (see
    `sencap.data.importing.predictions` for its forms), ``data`` the captioned pairs;
    images are needed for a ``page`` only. ``vocabulary``, a vocabulary.json or the
    folder of a checkpoint, gives the ids of the protocol ``ids``; by default the words
    of the data set are counted. ``no_change`` names the sentences with which this data
    set says that nothing changed. Returns the report, as `sencap.evaluate` does.

    Raises:
        DataError, CheckpointError, SettingsError, OutputError: what cannot be used or
            written, and why.
    """
    check_inputs({"captions": captions, "vocabulary": vocabulary})
    splits = [split] if isinstance(split, str) else list(split)
    # All splits: captions of pairs that are not scored are told from captions of no
    # pair, and the vocabulary is counted as training counts it.
    everything = read_captions(data, no_change=no_change)
    pairs: list[CaptionEntry] | list[CaptionedPair]
    # Images need not be there unless they are shown.
    if page is None:
        pairs = read_captions(data, splits=splits, no_change=no_change)
    else:
        pairs = read_dataset(data, splits=splits, no_change=no_change)
    others = [entry for entry in everything if entry.split not in splits]
    inputs = [
        Path(captions),
        *([] if vocabulary is None else [_vocabulary_file(vocabulary)]),
    ]
    check_report_files(data, pairs, inputs, json=json, markdown=markdown, page=page)
    said, notes = captions_of_pairs(
        read_predictions(captions), pairs, others, Path(captions)
    )
    if vocabulary is None:
        words, note = _count_words(everything)
        notes.append(note)
    else:
        words = Vocabulary.load(_vocabulary_file(vocabulary))
    empty = sum(not caption for caption in said)
    if empty:
        notes.append(f"{empty:,} of the {len(said):,} captions are empty.")
    notes += warn_of_flags(pairs)
    report = report_of(
        pairs, [CaptionSaid(caption) for caption in said], words, notes=notes
    )
    write_report(report, pairs, json=json, markdown=markdown, page=page)
    return report


def _vocabulary_file(path: str | Path) -> Path:
    """The vocabulary that a file, or the folder of a checkpoint, means."""
    path = Path(path)
    return path / "vocabulary.json" if path.is_dir() else path


def _count_words(entries: Sequence[CaptionEntry]) -> tuple[Vocabulary, str]:
    """The vocabulary of a data set's captions, as training would count it, and a note
    that says so; of a small data set all words."""
    captions = all_captions(entries)
    counts = Counter(chain.from_iterable(captions))
    minimum = VocabularySettings().minimum_count
    frequent = {word for word, count in counts.items() if count >= minimum}
    # In a small data set few words are frequent: most would be unknown and match each
    # other.
    if coverage(captions, frequent).is_poor:
        minimum = 1
    vocabulary = Vocabulary.build(captions, minimum)
    times = f"{minimum} times or more" if minimum > 1 else "at all"
    note = (
        f"The ids are those of the {len(vocabulary):,} words that the captions of "
        f"the data set have {times}, the four markers included. Scores under ids can "
        "be compared under one vocabulary only: --vocabulary names that of a "
        "checkpoint."
    )
    return vocabulary, note
