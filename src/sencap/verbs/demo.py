"""`sencap demo`: the example pairs, captioned, on one page."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sencap.captioning import CaptionedFiles


def command(
    *, out: str = "demo", weights: str | None = None, beam: int | None = None
) -> str:
    """Caption the example pairs that ship with sencap, and write one page with the
    pictures.

    Output: OUT/index.html, self-contained; the captions are printed too. Works offline.

    Args:
        out: The folder for the page.
        weights: A checkpoint folder, best, sen, or hub:OWNER/NAME@REVISION (default:
            the weights that ship with sencap).
        beam: Width of the beam search; 1 is greedy (default: that of the weights).
    """
    from sencap.demonstration import demo

    page = demo(out, weights=weights, beam=beam, tell=_print)
    return f"the page is {page}: open it in a browser"


def _print(found: CaptionedFiles) -> None:
    sys.stdout.write(f"{found.name}\t{found.caption.text}\n")
