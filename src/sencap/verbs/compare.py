"""`sencap compare`: whether one system is better than another on the same pairs."""

from __future__ import annotations

import json as json_
import sys
from typing import Literal

from sencap.errors import SettingsError
from sencap.files import check_outputs, write_whole


def command(
    reports: list[str],
    *,
    against: list[str] | None = None,
    metric: list[str] | None = None,
    protocol: Literal["ids", "words", "both"] = "both",
    resamples: int = 10_000,
    seed: int = 0,
    json: str | None = None,
) -> None:
    """Compare two systems on the same pairs: the difference of each metric, with its 95
    % interval.

    Input: the JSON files of sencap evaluate: A and B; or all seeds of A, then --against
    and all seeds of B. No data and no Java are needed. Output: a Markdown table,
    printed; and JSON if asked for. Differences are B − A. Reports on other pairs,
    vocabularies or versions of the metrics are refused.

    Args:
        reports: Two reports, A and B; or the reports of A, one per seed.
        against: The reports of B, one per seed.
        metric: The metrics to show, such as S*m or BLEU-4 (default: all).
        protocol: ids, words, or both.
        resamples: How often pairs (and seeds) are drawn anew.
        seed: Of the drawing.
        json: Write the comparison to this JSON file.
    """
    if against is None and len(reports) != 2:
        raise SettingsError(
            f"compare takes two reports, A and B, and got {len(reports)}; for "
            "several seeds of each system write: sencap compare A1 A2 A3 --against "
            "B1 B2 B3"
        )
    a, b = (reports[:1], reports[1:]) if against is None else (reports, against)
    check_outputs({"json": json}, [*a, *b])
    from sencap.evaluation.compare import compare, comparison_as_markdown

    found = compare(
        a, b, metrics=metric, protocol=protocol, resamples=resamples, seed=seed
    )
    # Said, whatever becomes of the file.
    sys.stdout.write(comparison_as_markdown(found) + "\n")
    if json is not None:
        write_whole(json, json_.dumps(found, indent=1, allow_nan=False) + "\n")
