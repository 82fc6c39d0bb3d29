"""Which pair each caption of another system belongs to: by its name or id, or by their
order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from sencap.data.entries import CaptionedPair, CaptionEntry
from sencap.data.importing.predictions import FORMS, Prediction
from sencap.data.importing.records import Problems
from sencap.json_files import shown

_Pair = CaptionEntry | CaptionedPair
_FEW = 5


def captions_of_pairs(
    predictions: Sequence[Prediction],
    pairs: Sequence[_Pair],
    others: Sequence[_Pair],
    file: Path,
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The words said of each pair, in the order of ``pairs``, and notes for a reader.

    ``others`` are the pairs of the data set that are not scored: captions of these are
    left out, which a note says.

    Raises:
        DataError: a caption of no pair, a pair without a caption or with two that
            differ; all of these at once.
    """
    problems = Problems(file, "scored")
    named = _Names(pairs), _Names(others)
    # Captions without names can only be told by their order.
    if any(not one.names for one in predictions):
        return _in_order(predictions, pairs, named[0], problems)
    said: dict[int, Prediction] = {}
    elsewhere = 0
    unknown: list[Prediction] = []
    for one in predictions:
        index = named[0].find(one.names)
        if index is None:
            # A file often has captions of all splits, and one split is scored: what
            # belongs to another is no mistake.
            in_others = named[1].find(one.names) is not None
            elsewhere += in_others
            unknown += [] if in_others else [one]
        # The same caption twice does no harm, as in files that repeat it for each
        # reference.
        elif said.setdefault(index, one).words != one.words:
            problems.note(
                one.place,
                f"{shown(pairs[index].name)} has another caption already, at {said[index].place}; "
                "give one for each pair",
            )
    _note_unknown(unknown, pairs, problems)
    _note_missing(
        [pair for index, pair in enumerate(pairs) if index not in said], pairs, problems
    )
    problems.refuse()
    notes = []
    if elsewhere:
        notes.append(f"{elsewhere:,} captions are of pairs that are not scored here.")
    return [said[index].words for index in range(len(pairs))], notes


def _in_order(
    predictions: Sequence[Prediction],
    pairs: Sequence[_Pair],
    names: _Names,
    problems: Problems,
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Captions without names: a line for each pair, if there are as many of both."""
    if len(predictions) != len(pairs):
        problems.note(
            predictions[0].place,
            f"there are {len(predictions):,} captions without names, and {len(pairs):,} pairs; "
            f"{FORMS}",
        )
    for one in predictions:
        # Lines of name and caption in an unknown form would be taken for captions, and
        # scored with the name as a word.
        first = re.split(r"[\s,;:]", " ".join(one.words), maxsplit=1)[0]
        if names.find([first]) is not None:
            problems.note(
                one.place, f"its caption begins with the name of a pair; {FORMS}"
            )
    problems.refuse()
    note = (
        "The captions have no names: they were taken for those of the pairs in the order of the "
        "caption file, which nothing shows to be right."
    )
    return [one.words for one in predictions], [note]


def _note_unknown(
    unknown: Sequence[Prediction], pairs: Sequence[_Pair], problems: Problems
) -> None:
    for one in unknown:
        called = " and ".join(shown(name) for name in one.names[:3])
        problems.note(
            one.place,
            f"no pair of the data set, or more than one, is called {called}; a name is like "
            f"{shown(f'{pairs[0].split}/{pairs[0].name}')}, and may lack the folder",
        )


def _note_missing(
    missing: Sequence[_Pair], pairs: Sequence[_Pair], problems: Problems
) -> None:
    if not missing:
        return
    names = ", ".join(shown(pair.name) for pair in missing[:_FEW])
    more = f" and {len(missing) - _FEW:,} more" if len(missing) > _FEW else ""
    problems.note(
        "captions",
        f"there is none of {len(missing):,} of the {len(pairs):,} pairs ({names}{more}). Every "
        "pair counts: give each its caption, an empty one where the system said nothing, or name "
        "the split that was captioned",
    )


class _Names:
    """Finds pairs by what others call them."""

    def __init__(self, pairs: Sequence[_Pair]) -> None:
        self._pairs = pairs
        self._known: dict[str, list[int]] = defaultdict(list)
        for index, pair in enumerate(pairs):
            for key in {pair.name, PurePosixPath(pair.name).stem}:
                self._known[key].append(index)
        self._ids: dict[str, list[int]] = defaultdict(list)
        for index, pair in enumerate(pairs):
            if pair.imgid:
                self._ids[pair.imgid].append(index)

    def find(self, names: Iterable[str]) -> int | None:
        """The pair that the first name which means one pair means; None if none
        does."""
        for name in names:
            found = self._of(name)
            if len(found) == 1:
                return found[0]
        return None

    def _of(self, name: str) -> list[int]:
        # "x.png#0" is the way of Flickr's files to number the captions of an image.
        path = PurePosixPath(re.sub(r"#\d+$", "", name.strip().replace("\\", "/")))
        for key in (path.name, path.stem):
            found = self._known.get(key, [])
            if len(found) > 1:  # the same name in several splits: the folders tell
                found = [
                    index for index in found if self._pairs[index].split in path.parts
                ]
            if found:
                return found
        return self._ids.get(name, [])
