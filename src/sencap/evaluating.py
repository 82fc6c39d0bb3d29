"""Scores a checkpoint on captioned pairs: reads, captions, hands words to `sencap.evaluation`,
draws the page.

`sencap.evaluation` knows words and no model; what it does not know is put together here.
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from sencap.ahead import ahead
from sencap.bounds import check_numbers
from sencap.config import Split
from sencap.data.levir_cc import CaptionedPair, find_caption_files, read_dataset
from sencap.engines.choice import EngineName
from sencap.engines.precisions import Precision
from sencap.environment import environment
from sencap.errors import SencapError, SettingsError
from sencap.evaluation.protocol import ScoredPair
from sencap.evaluation.protocol import evaluate as score
from sencap.evaluation.report import as_dict, as_json, as_markdown
from sencap.figures.album import Section, ShownPair, choose, write_album
from sencap.files import check_outputs, write_whole
from sencap.images import read_pair, shrink
from sencap.predictor import Decision, Predictor, load
from sencap.structures import Caption, ImagePair
from sencap.weights import checkpoint_files

log = logging.getLogger(__name__)
_SHOWN = 1024  # pixels: the longer side of an image on the page, at most
# LEVIR-CC's own names tell the official split, whatever split a data set has them in
_OFFICIAL_NAME = re.compile(r"(val|test)_\d{6}")
_NEVER = re.compile(r"never evaluate .{0,40}LEVIR-CC's official", re.IGNORECASE | re.DOTALL)


def evaluate(
    data: str | Path,
    *,
    split: Split | Sequence[Split] = "test",
    weights: str | Path | None = None,
    beam: int = 3,
    json: str | Path | None = None,
    markdown: str | Path | None = None,
    page: str | Path | None = None,
    batch_size: int = 16,
    device: str = "auto",
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    decision: Decision = "probability",
    limit: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Caption the pairs of one or more splits and score the captions under both protocols.

    Returns the report that ``json`` takes (see docs/evaluation.md); ``markdown`` takes it as
    tables, ``page`` a page of pictures. A file that cannot be written after all does not lose the
    report: why stands in the log, and in the report under ``not_written``. ``limit`` takes the
    first pairs only.

    Raises:
        DataError, CheckpointError, SettingsError, OutputError: what cannot be used or written, and
            why.
    """
    check_numbers(beam=beam, batch_size=batch_size, limit=limit)
    splits = [split] if isinstance(split, str) else list(split)
    pairs = read_dataset(data, splits=splits)[:limit]
    check_report_files(data, pairs, weights, json=json, markdown=markdown, page=page)
    predictor = load(
        weights, beam=beam, device=device, engine=engine, precision=precision, decision=decision
    )
    report = report_on(data, pairs, predictor, batch_size=batch_size, progress=progress)
    if precision != "fp32":
        report["notes"].append(f"The encoder computed in {precision}, not in fp32.")
    # the most important first; what fails takes nothing else with it
    problems: list[str] = []
    if json is not None:
        _try(problems, lambda: write_whole(json, as_json(report)))
    if markdown is not None:
        _try(problems, lambda: write_whole(markdown, as_markdown(report) + "\n"))
    if page is not None:
        _try(problems, lambda: write_report_page(page, pairs, report))
    if problems:
        report["not_written"] = problems
        log.warning(f"warning: the report is whole, but not written: {'; '.join(problems)}")
    return report


def _try(problems: list[str], write: Callable[[], object]) -> None:
    try:
        write()
    except SencapError as error:
        problems.append(str(error))


def check_report_files(
    data: str | Path,
    pairs: Sequence[CaptionedPair],
    weights: str | Path | None,
    **outputs: str | Path | None,
) -> None:
    """Refuse outputs that would destroy the data set, of any split, or the weights; before any
    work."""
    page = outputs.get("page")
    if page is not None and Path(page).suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"page={page} must end in .html")
    data = Path(data)
    root = data if data.is_dir() else data.parent
    below = [path for path in (root / "images").rglob("*") if not path.is_dir()]
    before, after = [pair.before for pair in pairs], [pair.after for pair in pairs]
    # links among the images lead to other files
    inputs = [*find_caption_files(data), *below, *before, *after, *checkpoint_files(weights)]
    check_outputs(outputs, inputs)


def report_on(
    data: str | Path,
    pairs: Sequence[CaptionedPair],
    predictor: Predictor,
    *,
    batch_size: int,
    progress: bool,
) -> dict[str, Any]:
    """Caption and score the pairs; what a reader has to know of weights and pairs is among the
    notes."""
    notes = official_split_notes(predictor.checkpoint.path, data, [pair.name for pair in pairs])
    for note in notes:
        log.warning(f"warning: {note}")  # now, not after an hour
    captions, seconds = _caption(predictor, pairs, batch_size=batch_size, progress=progress)
    notes += _notes_of_equal(captions)
    scored = []
    for pair, caption in zip(pairs, captions, strict=True):
        words = caption.text.split()
        facts = (caption.log_prob, pair.changed, caption.change_probability)
        scored.append(ScoredPair(pair.name, pair.captions, words, *facts))
    evaluation = score(scored, predictor.checkpoint.vocabulary)
    return as_dict(
        dataclasses.replace(evaluation, notes=[*notes, *evaluation.notes]),
        beam=predictor.beam,
        decision=predictor.decision,  # what was done, which a vocabulary may have decided
        environment=environment(),
        parameters=predictor.parameters(),
        pairs_per_second=len(pairs) / seconds,
    )


def official_split_notes(weights: Path | None, data: str | Path, names: Sequence[str]) -> list[str]:
    """A warning if weights that are not to be evaluated on LEVIR-CC's official val or test split
    just are.

    Such weights say so in their card, README.md: "never evaluate them on LEVIR-CC's official …".
    The pairs are known by their names, unless the data set calls itself another one, as synthetic
    ones do.
    """
    card = None if weights is None else weights / "README.md"
    if card is None or not card.is_file():
        return []
    official = [name for name in names if _OFFICIAL_NAME.fullmatch(PurePath(name).stem)]
    forbidden = _NEVER.search(card.read_text(encoding="utf-8", errors="replace"))
    if not official or not forbidden or not _may_be_levir_cc(data):
        return []
    return [
        f"{len(official)} of the {len(names)} pairs have names of LEVIR-CC's official val or "
        f"test split (such as {official[0]}), and these weights were trained on pairs of it. "
        "Only pairs held out from that training are scored fairly, and no score here is one on "
        "the official split: see the README.md of the weights."
    ]


def _may_be_levir_cc(data: str | Path) -> bool:
    """Whether a data set, which was read before, does not say that it is another one than
    LEVIR-CC."""
    (first, *_) = find_caption_files(Path(data))
    content = json.loads(first.read_text(encoding="utf-8-sig"))
    calls_itself = str(content.get("dataset", "LEVIR-CC"))
    return "levir" in calls_itself.lower()


def _notes_of_equal(captions: Sequence[Caption]) -> list[str]:
    equal = sum(caption.note != "" for caption in captions)
    if not equal:
        return []
    return [
        f"{equal} of the {len(captions)} pairs are of two equal images. Their caption is the first "
        "fixed sentence of no change, whatever the model would say."
    ]


def _caption(
    predictor: Predictor, pairs: Sequence[CaptionedPair], *, batch_size: int, progress: bool
) -> tuple[list[Caption], float]:
    """The captions of all pairs, and the seconds they took, reading included."""

    def read(pair: CaptionedPair) -> ImagePair:
        return read_pair(pair.before, pair.after, pair.name, size=predictor.size)

    begin = time.perf_counter()
    captions = predictor.stream(ahead(read, pairs), batch_size=batch_size)
    bar = tqdm(captions, desc="captioning", unit="pair", total=len(pairs), disable=not progress)
    return list(bar), time.perf_counter() - begin


_ORDER = {
    "best": "The pairs with the highest CIDEr",
    "worst": "The pairs with the lowest CIDEr",
    "random": "Pairs drawn at random",
}


def write_report_page(
    path: str | Path, pairs: Sequence[CaptionedPair], report: dict[str, Any], each: int = 8
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
    for name, indices in choose([one["scores"]["words"]["CIDEr"] for one in found], each).items():
        text = f"{_ORDER[name]}; scores under the protocol words."
        sections.append(Section(f"{name.capitalize()} pairs", list(map(shown, indices)), text))
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
    before, after = shrink(read_pair(pair.before, pair.after), _SHOWN).images
    return _jpeg(before), _jpeg(after)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()
