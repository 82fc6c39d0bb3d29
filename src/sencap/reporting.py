"""What `sencap evaluate` and `sencap score` share: captions of pairs in, a report out,
in the files that were asked for.

Who captioned the pairs is not known here: a checkpoint just now, or anybody elsewhere.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.data.caption_files import find_caption_files
from sencap.data.change_flags import told_by_sentences
from sencap.data.entries import CaptionedPair, CaptionEntry
from sencap.environment import environment
from sencap.errors import SencapError, SettingsError
from sencap.evaluation.protocol import (
    ScoredPair,
    WordEncoder,
    notes_on_absent,
    score_pairs,
)
from sencap.evaluation.report import (
    UNKNOWN,
    as_json,
    report_as_dict,
    report_as_markdown,
)
from sencap.evaluation.statistics import as_flags
from sencap.figures.album import Section, ShownPair, choose, write_album
from sencap.files import check_outputs, write_whole
from sencap.images import read_pair, shrink

_log = logging.getLogger(__name__)
_SHOWN = 1024  # pixels: the longer side of an image on the page, at most


@dataclass(frozen=True)
class CaptionSaid:
    """The caption of one pair, in words, and what its captioner gives to it, if that is
    known."""

    words: Sequence[str]
    log_prob: float | None = None
    change_probability: float | None = None


def check_report_files(
    data: str | Path,
    pairs: Iterable[CaptionedPair | CaptionEntry],
    inputs: Iterable[Path],
    **outputs: str | Path | None,
) -> None:
    """Refuse outputs that would destroy the data set, of any split, or another input;
    before any work."""
    page = outputs.get("page")
    if page is not None and Path(page).suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"page={page} must end in .html")
    data = Path(data)
    root = data if data.is_dir() else data.parent
    # The images of all splits, also of those that are not scored here.
    images = [path for path in (root / "images").rglob("*") if not path.is_dir()]
    for pair in pairs:
        if isinstance(pair, CaptionedPair):
            # Links among the images lead to other files.
            images += [pair.before, pair.after]
    check_outputs(outputs, [*find_caption_files(data), *images, *inputs])


def warn_of_flags(pairs: Sequence[CaptionedPair | CaptionEntry]) -> list[str]:
    """Log what the figures of change of these pairs will not show: now, not after an
    hour. Returns notes that the scoring itself cannot know."""
    told = told_by_sentences(pairs)
    # What comes back is for the report; the notes on absent kinds of pairs are in its
    # own already, and only logged here.
    notes = [f"{told[0].upper()}{told[1:]}."] if told else []
    for note in [*notes, *notes_on_absent(as_flags([pair.changed for pair in pairs]))]:
        _log.warning(f"warning: {note}")
    return notes


def report_of(
    pairs: Sequence[CaptionedPair | CaptionEntry],
    captions: Sequence[CaptionSaid],
    vocabulary: WordEncoder,
    *,
    notes: Sequence[str] = (),
    beam: int | str = UNKNOWN,
    decision: str = UNKNOWN,
    **facts: Any,
) -> dict[str, Any]:
    """Score one caption for each pair under both protocols.

    notes: what a reader has to know of captions and pairs; those on the scores follow.
    facts: as `sencap.evaluation.report.report_as_dict` takes them.

    Raises:
        DataError: there is no pair.
    """
    scored = []
    # The scoring knows words and numbers only, and no files.
    for pair, said in zip(pairs, captions, strict=True):
        facts_of_pair = (said.log_prob, pair.changed, said.change_probability)
        scored.append(ScoredPair(pair.name, pair.captions, said.words, *facts_of_pair))
    # All pairs of a data set have the same ones.
    no_change = pairs[0].no_change if pairs else ()
    evaluation = score_pairs(scored, vocabulary, no_change=no_change)
    return report_as_dict(
        dataclasses.replace(evaluation, notes=[*notes, *evaluation.notes]),
        beam=beam,
        decision=decision,
        environment=environment(),
        **facts,
    )


def write_report(
    report: dict[str, Any],
    pairs: Sequence[CaptionedPair | CaptionEntry],
    *,
    json: str | Path | None,
    markdown: str | Path | None,
    page: str | Path | None,
) -> None:
    """Write a report into the files that are asked for. Why one cannot be written
    stands in the log and in the report, under ``not_written``: the report itself is not
    lost. A page needs pairs with images."""
    # The most important first; what fails takes nothing else with it.
    problems: list[str] = []
    if json is not None:
        _try(problems, lambda: write_whole(json, as_json(report)))
    if markdown is not None:
        _try(problems, lambda: write_whole(markdown, report_as_markdown(report) + "\n"))
    if page is not None:
        with_images = [pair for pair in pairs if isinstance(pair, CaptionedPair)]
        _try(problems, lambda: write_report_page(page, with_images, report))
    if problems:
        report["not_written"] = problems
        _log.warning(
            f"warning: the report is whole, but not written: {'; '.join(problems)}"
        )


def _try(problems: list[str], write: Callable[[], object]) -> None:
    try:
        write()
    except SencapError as error:
        problems.append(str(error))


def printed(report: dict[str, Any]) -> tuple[str, str]:
    """A report as a verb prints it, and why it was not written to all files, "" if it
    was."""
    problems = report.pop("not_written", [])
    failed = "the report above is whole; why it is not in all files stands before it"
    return report_as_markdown(report) + "\n", failed if problems else ""


_ORDER = {
    "best": "The pairs with the highest CIDEr",
    "worst": "The pairs with the lowest CIDEr",
    "random": "Pairs drawn at random",
}


def write_report_page(
    path: str | Path,
    pairs: Sequence[CaptionedPair],
    report: dict[str, Any],
    each: int = 8,
) -> None:
    """Write a page of ``each`` best, worst and random pairs of a report."""
    found = report["pairs"]

    def shown(index: int) -> ShownPair:
        before, after = _picture_bytes(pairs[index])
        return ShownPair(
            title=found[index]["filename"],
            before=before,
            after=after,
            caption=found[index]["hypothesis"],
            references=[" ".join(words) for words in pairs[index].captions],
            scores=found[index]["scores"]["words"],
            changed=found[index]["changed"],
            told=found[index]["told_changed"],
        )

    sections = []
    # Best and worst are told by CIDEr, which rewards what is special to a pair.
    for name, indices in choose(
        [one["scores"]["words"]["CIDEr"] for one in found], each
    ).items():
        text = f"{_ORDER[name]}; scores under the protocol words."
        sections.append(
            Section(f"{name.capitalize()} pairs", list(map(shown, indices)), text)
        )
    footer = [*report["signatures"].values(), *report["notes"]]
    write_album(
        path,
        sections,
        title="Evaluation",
        footer="\n".join(footer),
        calibration=report.get("calibration"),
    )


def _picture_bytes(pair: CaptionedPair) -> tuple[bytes, bytes]:
    """Both images as JPEGs that every browser shows, whatever they were."""
    # Read and encoded anew: browsers show no TIFF, and a page holds its pictures
    # itself.
    before, after = shrink(read_pair(pair.before, pair.after), _SHOWN).images
    return _jpeg(before), _jpeg(after)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # (3, H, W) → (H, W, 3), as Pillow has it.
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()
