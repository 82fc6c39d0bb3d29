"""`sencap demo`: the example pairs, captioned, on one page."""

from __future__ import annotations

import time
from pathlib import Path

from sencap.verbs.caption import caption_files

EXAMPLES = Path(__file__).parents[1] / "examples"
ATTRIBUTION = (
    "The Sentinel-2 crops contain modified Copernicus Sentinel data 2015–2018 "
    "(Onera Satellite Change Detection imagery). The synthetic pairs are drawn by sencap."
)


def demo(out: str | Path, *, weights: str | None = None, beam: int = 3) -> Path:
    """Caption the example pairs; writes ``out/index.html`` and returns its path."""
    from sencap.evaluation.page import Picture, Section, write_page
    from sencap.images import find_pairs
    from sencap.predictor import load

    out = Path(out)
    predictor = load(weights, beam=beam)
    problems: list[str] = []
    begin = time.perf_counter()
    found = list(caption_files(predictor, find_pairs(EXAMPLES), problems))
    seconds = time.perf_counter() - begin
    pictures = [
        Picture(
            title=item.name,
            before=item.before.read_bytes(),
            after=item.after.read_bytes(),
            caption=item.caption.text,
            told=item.caption.changed,
            details=[f"log-probability {item.caption.log_prob:.2f}"]
            + [f"or: {other.text} ({other.log_prob:.2f})" for other in item.caption.alternatives],
        )
        for item in found
    ]
    return write_page(
        out / "index.html",
        [Section("", pictures)],
        title="sencap: what changed between two images of one place",
        text=f"{len(found)} example pairs, captioned with beam {beam} in {seconds:.1f} s.",
        footer=ATTRIBUTION,
    )


def command(*, out: str = "demo", weights: str | None = None, beam: int = 3) -> str:
    """Caption the example pairs that ship with sencap, and write one page with the pictures.

    Output: OUT/index.html, self-contained; the captions are printed too. Works offline.

    Args:
        out: The folder for the page.
        weights: A checkpoint folder (default: the weights that ship with sencap).
        beam: Width of the beam search; 1 is greedy.
    """
    page = demo(out, weights=weights, beam=beam)
    return f"the page is {page}: open it in a browser"
