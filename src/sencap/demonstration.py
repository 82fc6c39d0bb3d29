"""The example pairs that ship with sencap, captioned on one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sencap.captioning import CaptionedFiles, caption_files
from sencap.errors import DataError
from sencap.figures.album import Section, ShownPair, write_album
from sencap.files import check_output_folder, check_outputs
from sencap.images import find_pairs
from sencap.predictor import load
from sencap.weights import checkpoint_files

EXAMPLES = Path(__file__).parent / "examples"
ATTRIBUTION = (
    "The Sentinel-2 crops contain modified Copernicus Sentinel data 2015–2018 "
    "(Onera Satellite Change Detection imagery). The synthetic pairs are drawn by sencap."
)


def demo(
    out: str | Path,
    *,
    weights: str | Path | None = None,
    beam: int | None = None,
    tell: Callable[[CaptionedFiles], object] | None = None,
) -> Path:
    """Caption the example pairs; writes ``out/index.html`` and returns its path.

    ``tell`` is called with each captioned pair, before the page is written.

    Raises:
        CheckpointError, SettingsError, OutputError: what cannot be used or written, and
            why.
    """
    page = _page(out, weights)
    predictor = load(weights, beam=beam)
    problems: list[str] = []
    begin = time.perf_counter()
    # A list: the captions are computed as the iterator is read, and the time is to
    # cover them.
    found = list(caption_files(predictor, find_pairs(EXAMPLES), problems))
    seconds = time.perf_counter() - begin  # reading included
    if problems:
        raise DataError(
            "\n".join([*problems, "the examples are not whole: install sencap again"])
        )
    if tell is not None:
        for item in found:
            tell(item)
    return _write(page, found, seconds, beam=predictor.beam)


def _page(out: str | Path, weights: str | Path | None) -> Path:
    """The file of the page, checked before any work."""
    check_output_folder("out", out)
    inputs = [*EXAMPLES.rglob("*.*"), *checkpoint_files(weights)]
    page = Path(out) / "index.html"
    if page.exists():  # one that is not there yet can destroy nothing
        check_outputs({"out": page}, inputs)
    return page


def _write(
    page: Path, found: Sequence[CaptionedFiles], seconds: float, *, beam: int
) -> Path:
    pictures = [
        ShownPair(
            title=item.name,
            before=item.before.read_bytes(),
            after=item.after.read_bytes(),
            caption=item.caption.text,
            told=item.caption.changed,
            details=_small_print(item),
        )
        for item in found
    ]
    return write_album(
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
    lines += [
        f"or: {other.text} ({other.log_prob:.2f})" for other in caption.alternatives
    ]
    return lines
