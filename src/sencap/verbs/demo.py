"""`sencap demo`: the example pairs, captioned, on one page."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sencap.bounds import check_numbers
from sencap.errors import DataError
from sencap.files import check_output_folder, check_outputs
from sencap.verbs.caption import CaptionedFiles, caption_files

EXAMPLES = Path(__file__).parents[1] / "examples"
ATTRIBUTION = (
    "The Sentinel-2 crops contain modified Copernicus Sentinel data 2015–2018 "
    "(Onera Satellite Change Detection imagery). The synthetic pairs are drawn by sencap."
)


def demo(out: str | Path, *, weights: str | Path | None = None, beam: int = 3) -> Path:
    """Caption the example pairs; writes ``out/index.html`` and returns its path.

    Raises:
        CheckpointError, SettingsError, OutputError: what cannot be used or written, and why.
    """
    page = _page(out, weights)
    return _write(page, *_caption(weights, beam), beam=beam)


def command(*, out: str = "demo", weights: str | None = None, beam: int = 3) -> str:
    """Caption the example pairs that ship with sencap, and write one page with the pictures.

    Output: OUT/index.html, self-contained; the captions are printed too. Works offline.

    Args:
        out: The folder for the page.
        weights: A checkpoint folder (default: the weights that ship with sencap).
        beam: Width of the beam search; 1 is greedy.
    """
    page = _page(out, weights)
    found, seconds = _caption(weights, beam)
    for item in found:
        sys.stdout.write(f"{item.name}\t{item.caption.text}\n")
    _write(page, found, seconds, beam=beam)
    return f"the page is {page}: open it in a browser"


def _page(out: str | Path, weights: str | Path | None) -> Path:
    """The file of the page, checked before any work."""
    from sencap.weights import checkpoint_files

    check_output_folder("out", out)
    inputs = [*EXAMPLES.rglob("*.*"), *checkpoint_files(weights)]
    page = Path(out) / "index.html"
    if page.exists():  # one that is not there yet can destroy nothing
        check_outputs({"out": page}, inputs)
    return page


def _caption(weights: str | Path | None, beam: int) -> tuple[list[CaptionedFiles], float]:
    """The captioned examples, and the seconds they took, reading included."""
    check_numbers(beam=beam)
    from sencap.images import find_pairs
    from sencap.predictor import load

    predictor = load(weights, beam=beam)
    problems: list[str] = []
    begin = time.perf_counter()
    found = list(caption_files(predictor, find_pairs(EXAMPLES), problems))
    if problems:
        raise DataError("\n".join([*problems, "the examples are not whole: install sencap again"]))
    return found, time.perf_counter() - begin


def _write(page: Path, found: Sequence[CaptionedFiles], seconds: float, *, beam: int) -> Path:
    from sencap.evaluation.page import Picture, Section, write_page

    pictures = [
        Picture(
            title=item.name,
            before=item.before.read_bytes(),
            after=item.after.read_bytes(),
            caption=item.caption.text,
            told=item.caption.changed,
            details=_small_print(item),
        )
        for item in found
    ]
    return write_page(
        page,
        [Section("", pictures)],
        title="sencap: what changed between two images of one place",
        text=f"{len(found)} example pairs, captioned with beam {beam} in {seconds:.1f} s.",
        footer=ATTRIBUTION,
    )


def _small_print(item: CaptionedFiles) -> list[str]:
    caption = item.caption
    lines = [caption.note] if caption.note else []
    lines.append(f"log-probability {caption.log_prob:.2f}")
    lines += [f"or: {other.text} ({other.log_prob:.2f})" for other in caption.alternatives]
    return lines
