"""Scores a checkpoint on captioned pairs: reads, captions, hands words to
`sencap.evaluation`, draws the page.

`sencap.evaluation` knows words and no model; what it does not know is put together
here.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath
from typing import Any

from tqdm import tqdm

from sencap.ahead import ahead
from sencap.bounds import check_numbers
from sencap.config import Decision, Split
from sencap.data.caption_files import find_caption_files
from sencap.data.entries import CaptionedPair
from sencap.data.levir_cc import read_dataset
from sencap.engines.choice import EngineName
from sencap.engines.precisions import Precision
from sencap.images import read_pair
from sencap.images.notes import Notes
from sencap.predictor import Predictor, load
from sencap.reporting import (
    CaptionSaid,
    check_report_files,
    report_of,
    warn_of_flags,
    write_report,
)
from sencap.structures import Caption, ImagePair
from sencap.weights import checkpoint_files

_log = logging.getLogger(__name__)
EQUAL = "the two images are equal"  # in the note of the predictor
_FEW = 5  # kinds of notes
# LEVIR-CC's own names tell the official split, whatever split a data set has them in
_OFFICIAL_NAME = re.compile(r"(val|test)_\d{6}")
_NEVER = re.compile(
    r"never evaluate .{0,40}LEVIR-CC's official", re.IGNORECASE | re.DOTALL
)


def evaluate(
    data: str | Path,
    *,
    split: Split | Sequence[Split] = "test",
    weights: str | Path | None = None,
    beam: int | None = None,
    length_normalisation: float | None = None,
    json: str | Path | None = None,
    markdown: str | Path | None = None,
    page: str | Path | None = None,
    batch_size: int = 16,
    device: str = "auto",
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    decision: Decision | None = None,
    limit: int | None = None,
    no_change: Collection[str] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Caption the pairs of one or more splits and score the captions under both
    protocols.

    Returns the report that ``json`` takes (see docs/evaluation.md); ``markdown`` takes
    it as tables, ``page`` a page of pictures. A file that cannot be written after all
    does not lose the report: why stands in the log, and in the report under
    ``not_written``. ``limit`` takes the first pairs only. ``no_change`` names the
    sentences with which this data set says that nothing changed.

    Raises:
        DataError, CheckpointError, SettingsError, OutputError: what cannot be used or
            written, and why.
    """
    check_numbers(beam=beam, batch_size=batch_size, limit=limit)
    splits = [split] if isinstance(split, str) else list(split)
    # All that can be refused is refused before the weights are loaded and an hour of
    # captioning begins.
    pairs = read_dataset(data, splits=splits, no_change=no_change)[:limit]
    inputs = checkpoint_files(weights)
    check_report_files(data, pairs, inputs, json=json, markdown=markdown, page=page)
    predictor = load(
        weights,
        beam=beam,
        length_normalisation=length_normalisation,
        device=device,
        engine=engine,
        precision=precision,
        decision=decision,
    )
    report = report_on(data, pairs, predictor, batch_size=batch_size, progress=progress)
    name = Path(data).resolve().name  # no path of this machine
    report["data"] = {"name": name, "split": splits, "limit": limit}
    if precision != "fp32":
        report["notes"].append(f"The encoder computed in {precision}, not in fp32.")
    write_report(report, pairs, json=json, markdown=markdown, page=page)
    return report


def report_on(
    data: str | Path,
    pairs: Sequence[CaptionedPair],
    predictor: Predictor,
    *,
    batch_size: int,
    progress: bool,
) -> dict[str, Any]:
    """Caption and score the pairs; what a reader has to know of weights and pairs is
    among the notes."""
    notes = official_split_notes(
        predictor.checkpoint.path, data, [pair.name for pair in pairs]
    )
    for note in notes:
        _log.warning(f"warning: {note}")  # now, not after an hour
    notes += warn_of_flags(pairs)
    captions, seconds = _caption(
        predictor, pairs, batch_size=batch_size, progress=progress
    )
    notes += _notes_of(captions, [pair.name for pair in pairs])
    said = []
    for caption in captions:
        words = caption.text.split()
        said.append(CaptionSaid(words, caption.log_prob, caption.change_probability))
    report = report_of(
        pairs,
        said,
        predictor.checkpoint.vocabulary,
        notes=notes,
        beam=predictor.beam,
        length_normalisation=predictor.length_normalisation,
        decision=predictor.decision,  # what was done, which a vocabulary may have decided
        parameters=predictor.parameters(),
        pairs_per_second=len(pairs) / seconds,
    )
    report["weights"] = predictor.loaded()
    return report


def official_split_notes(
    weights: Path | None, data: str | Path, names: Sequence[str]
) -> list[str]:
    """A warning if weights that are not to be evaluated on LEVIR-CC's official val or
    test split just are.

    Such weights say so in their card, README.md: "never evaluate them on LEVIR-CC's
    official …". The pairs are known by their names, unless the data set calls itself
    another one, as synthetic ones do.
    """
    card = None if weights is None else weights / "README.md"
    if card is None or not card.is_file():
        return []
    official = [name for name in names if _OFFICIAL_NAME.fullmatch(PurePath(name).stem)]
    forbidden = _NEVER.search(card.read_text(encoding="utf-8", errors="replace"))
    if not official or not forbidden or not _may_be_levir_cc(data):
        return []
    return [
        f"{len(official)} of the {len(names)} pairs have names of LEVIR-CC's "
        f"official val or test split (such as {official[0]}), and these weights were "
        "trained on pairs of it. Only pairs held out from that training are scored "
        "fairly, and no score here is one on the official split: see the README.md "
        "of the weights."
    ]


def _may_be_levir_cc(data: str | Path) -> bool:
    """Whether a data set, which was read before, does not say that it is another one
    than LEVIR-CC."""
    # Dubai-CC has a file for each split; each names the data set alike.
    (first, *_) = find_caption_files(Path(data))
    content = json.loads(first.read_text(encoding="utf-8-sig"))
    calls_itself = str(content.get("dataset", "LEVIR-CC"))
    return "levir" in calls_itself.lower()


def _notes_of(captions: Sequence[Caption], names: Sequence[str]) -> list[str]:
    """What has to be known of single captions, each kind of it once."""
    equal = 0
    noted = Notes()
    for caption, name in zip(captions, names, strict=True):
        if EQUAL in caption.note:
            equal += 1
        elif caption.note:
            noted.add(name, [caption.note])
    notes = []
    if equal:
        notes.append(
            f"{equal} of the {len(captions)} pairs are of two equal images. Their "
            "caption is the first fixed sentence of no change, whatever the model "
            "would say."
        )
    others = noted.told(of=len(captions))
    if len(others) > _FEW:
        more = len(others) - _FEW
        others[_FEW:] = [
            f"There are {more} other kinds of notes; sencap caption tells them."
        ]
    return notes + others


def _caption(
    predictor: Predictor,
    pairs: Sequence[CaptionedPair],
    *,
    batch_size: int,
    progress: bool,
) -> tuple[list[Caption], float]:
    """The captions of all pairs, and the seconds they took, reading included."""

    def read(pair: CaptionedPair) -> ImagePair:
        return read_pair(pair.before, pair.after, pair.name, size=predictor.size)

    # Reading is part of the time, as it is for a user; it runs in threads ahead of the
    # model.
    begin = time.perf_counter()
    captions = predictor.stream(ahead(read, pairs), batch_size=batch_size)
    bar = tqdm(
        captions, desc="captioning", unit="pair", total=len(pairs), disable=not progress
    )
    return list(bar), time.perf_counter() - begin
