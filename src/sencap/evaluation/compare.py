"""Two systems compared on the same pairs, each from one report or from one report per seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from sencap.bounds import check_numbers
from sencap.errors import SettingsError, nearest
from sencap.evaluation.bootstrap import (
    DECIMALS,
    FEWEST_PAIRS,
    LEVEL,
    RESAMPLES,
    Spread,
    p_value,
    resample_subset,
    seed_weights,
    why_no_interval,
)
from sencap.evaluation.comparable import Report, check_comparable, read_report
from sencap.evaluation.metrics import Floats
from sencap.evaluation.protocol import FLAGS_UNKNOWN, PROTOCOLS
from sencap.evaluation.report import number, table
from sencap.evaluation.scoring import METRICS
from sencap.evaluation.statistics import ACCURACY, SUBSETS, members

Row: TypeAlias = dict[str, float | str | None]


def metric_named(name: str) -> str:
    """A metric by its name, written with or without its punctuation, in any case: "rouge_l" is
    "ROUGE-L".

    Raises SettingsError for an unknown one, with the nearest known name.
    """
    known = {_letters(metric): metric for metric in (*METRICS, ACCURACY)}
    if _letters(name) not in known:
        raise SettingsError(f"metric={name!r} is unknown; {nearest(name, known.values())}")
    return known[_letters(name)]


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def compare(
    a: str | Path | Sequence[str | Path],
    b: str | Path | Sequence[str | Path],
    *,
    metrics: Sequence[str] | None = None,
    protocol: Literal["ids", "words", "both"] = "both",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare system B with system A on the pairs that their reports share; positive differences
    favour B.

    a, b: a report of ``sencap evaluate --json``, or one per seed of a system: scores are then means
    over them. metrics: names such as "S*m" (default: all). See docs/statistics.md.

    Pairs are drawn with replacement, the same ones for all reports; with several seeds these are
    drawn too (see ``bootstrap.seed_weights``), for A and B independently, so that the interval
    covers both.

    Returns plain dictionaries: protocol → subset → metric → a, b, difference, low, high, error (the
    standard error of the difference), share (of resamples with a difference of 0 or less), p
    (two-sided), a_seed_sd, b_seed_sd (standard deviation between seeds), all × 100 but share and p,
    None for what cannot be had; and a note, which says why there is no interval and no p where
    there are scores (None elsewhere): too few pairs, or no difference. The change accuracy likewise
    under ``change_accuracy``, without a protocol; and how it was done.

    Raises:
        DataError: a file is no report, holds no statistics, or the reports may not be compared; and
            why.
        SettingsError: an unknown metric or none at all, numbers out of bounds, a report given twice
            for one system.
    """
    check_numbers(resamples=resamples, seed=seed)
    metrics = _known_metrics(metrics)
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    sides = [_read_side(a), _read_side(b)]
    reports = [*sides[0], *sides[1]]
    notes = check_comparable(reports, protocols)
    counts = [len(side) for side in sides]
    if min(counts) == 1:
        notes.append(_one_seed(*counts))
    result: dict[str, Any] = {
        protocol: {subset: {} for subset in SUBSETS} for protocol in protocols
    }
    result["change_accuracy"] = {}
    weights = [seed_weights(count, resamples, seed, which) for which, count in enumerate(counts)]
    changed = reports[0].system.changed
    pairs = {subset: int(members(changed, subset).size) for subset in SUBSETS}
    for subset in SUBSETS:
        exact = np.stack([report.system.scores(subset)[0] for report in reports])
        values = np.stack(
            [
                resample_subset(report.system, subset, resamples=resamples, seed=seed)
                for report in reports
            ],
            axis=1,
        )
        for column, (scored, metric) in enumerate(reports[0].system.columns()):
            if metric not in metrics or scored not in (*protocols, ""):
                continue
            row = _row(pairs[subset], exact[:, column], values[:, :, column], weights)
            if metric == ACCURACY:
                result["change_accuracy"][subset] = row
            else:
                result[scored][subset][metric] = row
    notes += _notes(result, pairs, flags_known=not np.isnan(changed).any())
    return {
        "a": [report.path for report in sides[0]],
        "b": [report.path for report in sides[1]],
        **result,
        "pairs": pairs,
        "method": {
            "name": "percentile bootstrap over pairs" + (" and seeds" if len(reports) > 2 else ""),
            "level": LEVEL,
            "resamples": resamples,
            "seed": seed,
        },
        "notes": notes,
    }


def _known_metrics(names: Sequence[str] | None) -> list[str]:
    """The metrics of these names; all of None."""
    if names is None:
        return [*METRICS, ACCURACY]
    if not names:
        raise SettingsError("metrics is empty; name at least one, or leave it out for all")
    return [metric_named(name) for name in names]


def _read_side(paths: str | Path | Sequence[str | Path]) -> list[Report]:
    """The reports of one system."""
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    reports = [read_report(path) for path in given]
    names = [report.path for report in reports]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(
                f"{name} is given twice for one system; give each seed's report once"
            )
    return reports


def _one_seed(a: int, b: int) -> str:
    single = "A" if a == 1 else "B"
    which, whose = (
        ("A and B are one report each", "")
        if a == b
        else (f"{single} is one report", f" of {single}")
    )
    return (
        f"{which}: the interval says how far the difference would move on other pairs, and not "
        f"how far it would move with another training seed{whose}. Give several seeds of each "
        "system to have both."
    )


def _notes(result: dict[str, Any], pairs: dict[str, int], *, flags_known: bool) -> list[str]:
    """What a reader has to know of the scores themselves."""
    notes = []
    if not flags_known:
        notes.append(f"{FLAGS_UNKNOWN}, so there are all pairs only, and no change accuracy.")
    for subset in SUBSETS:
        rows = [
            result[protocol][subset].get("CIDEr") for protocol in PROTOCOLS if protocol in result
        ]
        if pairs[subset] and any(row and row["a"] == row["b"] == 0 for row in rows):
            whose = "all pairs" if subset == "all" else f"the {subset} pairs by themselves"
            notes.append(
                f"CIDEr of {whose} is 0 for A and B: so it is by construction, whatever the "
                "captions, where there is one pair, or where all pairs have the same references."
            )
    return notes


def _row(pairs: int, exact: Floats, values: Floats, weights: Sequence[Floats]) -> Row:
    """One metric on one subset.

    exact: (S_a + S_b,), values: (R, S_a + S_b), weights: (R, S_a) and (R, S_b).
    """
    split = weights[0].shape[1]
    sides = exact[:split], exact[split:]
    a, b = (float(side.mean()) for side in sides)
    resampled_a = (weights[0] * values[:, :split]).sum(axis=1)
    resampled_b = (weights[1] * values[:, split:]).sum(axis=1)
    differences = resampled_b - resampled_a
    shown = np.round(differences, DECIMALS)
    reason = why_no_interval(pairs, differences)
    spread = Spread.of(differences) if reason is None else None
    if np.isnan(b - a):
        note = None  # there is nothing to have an interval of
    elif reason is not None and pairs >= FEWEST_PAIRS and not shown.any():
        note = "no difference in any resample"
    else:
        note = reason
    numbers = {
        "a": a,
        "b": b,
        "difference": b - a,
        "low": None if spread is None else spread.low,
        "high": None if spread is None else spread.high,
        "error": None if spread is None else spread.error,
        "share": None if spread is None else float((shown <= 0).mean()),
        "p": None if spread is None else p_value(shown),
        "a_seed_sd": float(sides[0].std(ddof=1)) if len(sides[0]) > 1 else None,
        "b_seed_sd": float(sides[1].std(ddof=1)) if len(sides[1]) > 1 else None,
    }
    row: Row = {
        name: value if value is not None and np.isfinite(value) else None
        for name, value in numbers.items()
    }
    return row | {"note": note}


def as_markdown(comparison: dict[str, Any]) -> str:
    """The comparison for reading: who is compared, a table per protocol, the change accuracy,
    notes."""
    method = comparison["method"]
    lines = [
        "# Comparison",
        "",
        *(f"- {side.upper()}: {', '.join(comparison[side])}" for side in ("a", "b")),
        "",
        f"Scores × 100. B − A with its {100 * method['level']:.0f} % interval ({method['name']}, "
        f"{method['resamples']:,} resamples). ≤ 0: share of resamples in which B is not better. "
        "p: two-sided p-value of no difference."
        + (
            " ±: standard deviation between seeds."
            if len(comparison["a"] + comparison["b"]) > 2
            else ""
        ),
        "",
    ]
    protocols = [protocol for protocol in PROTOCOLS if any(comparison.get(protocol, {}).values())]
    for protocol in protocols:
        rows = [
            _cells(comparison, subset, metric.replace("*", "\\*"), row)
            for subset in SUBSETS
            if comparison["pairs"][subset]
            for metric, row in comparison[protocol][subset].items()
        ]
        lines += [f"## Protocol `{protocol}`", "", *_table(rows), ""]
    if comparison["change_accuracy"]:
        rows = [
            _cells(comparison, subset, "told right", row)
            for subset, row in comparison["change_accuracy"].items()
            if comparison["pairs"][subset] and row["difference"] is not None
        ]
        if rows:
            lines += ["## Change or no change", "", *_table(rows), ""]
    if comparison["notes"]:
        lines += ["## Notes", "", *(f"- {note}" for note in comparison["notes"]), ""]
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return table(["pairs", "metric", "A", "B", "B − A", "interval", "≤ 0", "p"], rows, texts=2)


def _cells(comparison: dict[str, Any], subset: str, metric: str, row: dict[str, Any]) -> list[str]:
    known = row["low"] is not None
    return [
        f"{subset} ({comparison['pairs'][subset]:,})",
        metric,
        *(
            number(row[side])
            + (f" ± {row[f'{side}_seed_sd']:.2f}" if row[f"{side}_seed_sd"] is not None else "")
            for side in ("a", "b")
        ),
        f"{row['difference']:+.2f}" if row["difference"] is not None else "–",
        f"{row['low']:+.2f} to {row['high']:+.2f}" if known else row["note"] or "–",
        f"{row['share']:.3f}" if known else "–",
        f"{row['p']:.4f}" if known else "–",
    ]
