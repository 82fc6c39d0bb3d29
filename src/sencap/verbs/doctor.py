"""`sencap doctor`: what works here and what does not."""

from __future__ import annotations

import json as json_
import sys


def command(*, weights: str | None = None, json: bool = False) -> str:
    """Tell what works here and what does not: engine, weights, an example captioned,
    Java, the hub's cache, extras.

    What captions and scores is tried, the extras' packages are looked for. What is
    absent and optional is no failure. Output: a line for each part. The exit code is 0,
    or 1 if something that is here does not work.

    Args:
        weights: A checkpoint folder, best, sen, or hub:OWNER/NAME@REVISION (default:
            the weights that ship with sencap).
        json: Print JSON.
    """
    from sencap.diagnosis import as_text, doctor

    report = doctor(weights)
    text = json_.dumps(report, indent=1) if json else as_text(report)
    if report["works"]:
        return text
    sys.stdout.write(text + "\n")
    sys.exit(1)  # 2 is for what a user gave wrongly
