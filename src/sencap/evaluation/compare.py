"""Two systems compared on the same pairs, each from one report or from one report per seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sencap.errors import SettingsError, nearest
from sencap.evaluation.bootstrap import (
    LEVEL,
    RESAMPLES,
    Spread,
    check,
    p_value,
    resample_subset,
    seed_weights,
)
from sencap.evaluation.comparable import Report, check_comparable
from sencap.evaluation.metrics import Floats
from sencap.evaluation.protocol import PROTOCOLS
from sencap.evaluation.report import number, table
from sencap.evaluation.scoring import METRICS
from sencap.evaluation.statistics import ACCURACY, SUBSETS

_DECIMALS = 9  # of a difference of scores × 100: what is equal but for rounding errors is equal


def metric_named(name: str) -> str:
    """A metric by its name, written with or without its punctuation, in any case: "rouge_l" is "ROUGE-L".

    Raises SettingsError for an unknown one, with the nearest known name.
    """
    known = {_letters(metric): metric for metric in (*METRICS, ACCURACY)}
    if _letters(name) not in known:
        raise SettingsError(f"metric={name!r} is unknown; {nearest(name, known.values())}")
    return known[_letters(name)]


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def compare(
    a: Sequence[Report],
    b: Sequence[Report],
    *,
    metrics: Sequence[str] = (*METRICS, ACCURACY),
    protocols: Sequence[str] = PROTOCOLS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare system B with system A on the pairs that their reports share; positive differences favour B.

    a, b: at least one report each; several are several seeds of one system, and scores are means over them.
    Pairs are drawn with replacement, the same ones for all reports; with several seeds these are drawn too
    (see ``bootstrap.seed_weights``), for A and B independently, so that the interval covers both.

    Returns plain dictionaries: protocol → subset → metric → a, b, difference, low, high, error (the standard
    error of the difference), share (of resamples with a difference of 0 or less), p (two-sided), a_seed_sd,
    b_seed_sd (standard deviation between seeds), all × 100 but share and p, None for what cannot be had; the
    change accuracy likewise under ``change_accuracy``, without a protocol; and how it was done.
    Raises DataError when the reports may not be compared, SettingsError for a wrong number of resamples, a
    negative seed or a file given twice for one system.
    """
    check(resamples, seed)
    for side in (a, b):
        paths = [report.path for report in side]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            raise SettingsError(f"{twice} is given twice for one system; give each seed's report once")
    reports = [*a, *b]
    notes = check_comparable(reports, protocols)
    if min(len(a), len(b)) == 1:
        notes.append(_one_seed(len(a), len(b)))
    result: dict[str, Any] = {protocol: {subset: {} for subset in SUBSETS} for protocol in protocols}
    result["change_accuracy"] = {}
    weights = [seed_weights(len(side), resamples, seed, which) for which, side in enumerate((a, b))]
    for subset in SUBSETS:
        exact = np.stack([report.system.scores(subset)[0] for report in reports])
        values = np.stack(
            [resample_subset(report.system, subset, resamples=resamples, seed=seed) for report in reports],
            axis=1,
        )
        for column, (protocol, metric) in enumerate(reports[0].system.columns()):
            if metric not in metrics or protocol not in (*protocols, ""):
                continue
            row = _row(exact[:, column], values[:, :, column], weights)
            if metric == ACCURACY:
                result["change_accuracy"][subset] = row
            else:
                result[protocol][subset][metric] = row
    changed = reports[0].system.changed
    return {
        "a": [report.path for report in a],
        "b": [report.path for report in b],
        **result,
        "pairs": {"all": len(changed), "changed": int(changed.sum()), "unchanged": int((~changed).sum())},
        "method": {
            "name": "percentile bootstrap over pairs" + (" and seeds" if len(reports) > 2 else ""),
            "level": LEVEL,
            "resamples": resamples,
            "seed": seed,
        },
        "notes": notes,
    }


def _one_seed(a: int, b: int) -> str:
    single = "A" if a == 1 else "B"
    which, whose = (
        ("A and B are one report each", "") if a == b else (f"{single} is one report", f" of {single}")
    )
    return (
        f"{which}: the interval says how far the difference would move on other pairs, and not how far it "
        f"would move with another training seed{whose}. Give several seeds of each system to have both."
    )


def _row(exact: Floats, values: Floats, weights: Sequence[Floats]) -> dict[str, float | None]:
    """One metric on one subset; exact: (S_a + S_b,), values: (R, S_a + S_b), weights: (R, S_a) and (R, S_b)."""
    split = weights[0].shape[1]
    sides = exact[:split], exact[split:]
    a, b = (float(side.mean()) for side in sides)
    resampled = [
        (weight * part).sum(axis=1)
        for weight, part in zip(weights, (values[:, :split], values[:, split:]), strict=True)
    ]
    differences = np.round(resampled[1] - resampled[0], _DECIMALS)
    spread = Spread.of(differences)
    row: dict[str, float | None] = {
        "a": a,
        "b": b,
        "difference": b - a,
        "low": None if spread is None else spread.low,
        "high": None if spread is None else spread.high,
        "error": None if spread is None else spread.error,
        "share": None if spread is None else float((differences <= 0).mean()),
        "p": None if spread is None else p_value(differences),
        "a_seed_sd": float(sides[0].std(ddof=1)) if len(sides[0]) > 1 else None,
        "b_seed_sd": float(sides[1].std(ddof=1)) if len(sides[1]) > 1 else None,
    }
    return {name: value if value is not None and np.isfinite(value) else None for name, value in row.items()}


def as_markdown(comparison: dict[str, Any]) -> str:
    """The comparison for reading: who is compared, a table per protocol, the change accuracy, notes."""
    method = comparison["method"]
    lines = [
        "# Comparison",
        "",
        *(f"- {side.upper()}: {', '.join(comparison[side])}" for side in ("a", "b")),
        "",
        f"Scores × 100. B − A with its {100 * method['level']:.0f} % interval ({method['name']}, "
        f"{method['resamples']:,} resamples). ≤ 0: share of resamples in which B is not better. "
        "p: two-sided p-value of no difference."
        + (" ±: standard deviation between seeds." if len(comparison["a"] + comparison["b"]) > 2 else ""),
        "",
    ]
    protocols = [protocol for protocol in PROTOCOLS if any(comparison.get(protocol, {}).values())]
    for protocol in protocols:
        rows = [
            _cells(comparison, subset, metric.replace("*", "\\*"), row)
            for subset in SUBSETS
            for metric, row in comparison[protocol][subset].items()
        ]
        lines += [f"## Protocol `{protocol}`", "", *_table(rows), ""]
    if comparison["change_accuracy"]:
        rows = [
            _cells(comparison, subset, "told right", row)
            for subset, row in comparison["change_accuracy"].items()
        ]
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
        f"{row['low']:+.2f} to {row['high']:+.2f}" if known else "–",
        f"{row['share']:.3f}" if known else "–",
        f"{row['p']:.4f}" if known else "–",
    ]
