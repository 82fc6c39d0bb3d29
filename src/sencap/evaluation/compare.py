"""Two systems compared on the same pairs, each from one report or from one report per
seed."""

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
from sencap.evaluation.comparable import ComparedReport, check_comparable, read_report
from sencap.evaluation.metrics import Floats
from sencap.evaluation.names import ACCURACY, METRICS, PROTOCOLS, SUBSETS
from sencap.evaluation.protocol import FLAGS_UNKNOWN, said_of
from sencap.evaluation.report import notes_section, number, table
from sencap.evaluation.statistics import members

ComparisonRow: TypeAlias = dict[str, float | str | None]
# The keys of a row that hold numbers; all are there, None for what cannot be had.
_NUMBERS = (
    "a", "b", "difference", "low", "high", "error", "share", "p", "a_seed_sd", "b_seed_sd",
)  # fmt: skip


def metric_named(name: str) -> str:
    """A metric by its name, written with or without its punctuation, in any case:
    "rouge_l" is "ROUGE-L".

    Raises:
        SettingsError: an unknown one, with the nearest known name.
    """
    # A star and hyphens are awkward on a command line, so that names are compared by
    # their letters and digits.
    known = {_letters(metric): metric for metric in (*METRICS, ACCURACY)}
    if _letters(name) not in known:
        raise SettingsError(
            f"metric={name!r} is unknown; {nearest(name, known.values())}"
        )
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
    """Compare system B with system A on the pairs that their reports share; positive
    differences favour B.

    a, b: a report of ``sencap evaluate --json``, or one per seed of a system: scores
    are then means over them. metrics: names such as "S*m" (default: all). See
    docs/statistics.md.

    Pairs are drawn with replacement, the same ones for all reports; with several seeds
    these are drawn too (see ``bootstrap.seed_weights``), for A and B independently, so
    that the interval covers both.

    Returns plain dictionaries: protocol → subset → metric → a, b, difference, low,
    high, error (the standard error of the difference), share (of resamples with a
    difference of 0 or less), p (two-sided), a_seed_sd, b_seed_sd (standard deviation
    between seeds), all × 100 but share and p, None for what cannot be had; and a note,
    which says why there is no interval and no p where there are scores (None
    elsewhere): too few pairs, or no difference. The change accuracy likewise under
    ``change_accuracy``, without a protocol; and how it was done.

    Raises:
        DataError: a file is no report, holds no statistics, or the reports may not be
            compared; and why.
        SettingsError: an unknown metric or none at all, numbers out of bounds, a report
            given twice for one system.
    """
    check_numbers(resamples=resamples, seed=seed)
    metrics = _known_metrics(metrics)
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    sides = [_read_side(a), _read_side(b)]
    reports = [*sides[0], *sides[1]]
    notes = check_comparable(reports, protocols)
    counts = [len(side) for side in sides]
    # With one seed the interval cannot cover how much training itself varies.
    if min(counts) == 1:
        notes.append(_one_seed(*counts))
    # A (R, S) array for each side: how much each of its seeds counts in each resample.
    weights = [
        seed_weights(count, resamples, seed, which)
        for which, count in enumerate(counts)
    ]
    changed = reports[0].system.changed
    pairs = {subset: int(members(changed, subset).size) for subset in SUBSETS}
    wanted = (*protocols, "")  # the change accuracy has no protocol
    result: dict[str, Any] = {}
    for name in protocols:
        result[name] = {subset: {} for subset in SUBSETS}
    result["change_accuracy"] = {}
    for subset in SUBSETS:
        # One resampling gives all metrics of a subset, as each is computed from the
        # same drawn pairs.
        exact, values = _scores(reports, subset, resamples=resamples, seed=seed)
        for column, (scored, metric) in enumerate(reports[0].system.columns()):
            if metric not in metrics or scored not in wanted:
                continue
            row = _row(pairs[subset], exact[:, column], values[:, :, column], weights)
            if metric == ACCURACY:
                result["change_accuracy"][subset] = row
            else:
                result[scored][subset][metric] = row
    notes += _notes(result, pairs, flags_known=not np.isnan(changed).any())
    drawn = "pairs and seeds" if len(reports) > 2 else "pairs"
    return {
        "a": [report.path for report in sides[0]],
        "b": [report.path for report in sides[1]],
        **result,
        "pairs": pairs,
        "method": {
            "name": f"percentile bootstrap over {drawn}",
            "level": LEVEL,
            "resamples": resamples,
            "seed": seed,
        },
        "notes": notes,
    }


def _scores(
    reports: Sequence[ComparedReport], subset: str, *, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """The scores of all reports on a subset, (reports, columns), and those of its
    resamples, (R, reports, columns)."""
    exact, resampled = [], []
    for report in reports:
        exact.append(report.system.scores(subset)[0])
        resampled.append(
            resample_subset(report.system, subset, resamples=resamples, seed=seed)
        )
    return np.stack(exact), np.stack(resampled, axis=1)


def _known_metrics(names: Sequence[str] | None) -> list[str]:
    """The metrics of these names; all of None."""
    if names is None:
        return [*METRICS, ACCURACY]
    if not names:
        raise SettingsError(
            "metrics is empty; name at least one, or leave it out for all"
        )
    return [metric_named(name) for name in names]


def _read_side(paths: str | Path | Sequence[str | Path]) -> list[ComparedReport]:
    """The reports of one system."""
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    reports = [read_report(path) for path in given]
    names = [report.path for report in reports]
    # One report twice would count as two seeds that agree perfectly.
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(
                f"{name} is given twice for one system; give each seed's report once"
            )
    return reports


def _one_seed(a: int, b: int) -> str:
    which, whose = "A and B are one report each", ""
    if a != b:
        single = "A" if a == 1 else "B"
        which, whose = f"{single} is one report", f" of {single}"
    return (
        f"{which}: the interval says how far the difference would move on other pairs, and not "
        f"how far it would move with another training seed{whose}. Give several seeds of each "
        "system to have both."
    )


def _notes(
    result: dict[str, Any], pairs: dict[str, int], *, flags_known: bool
) -> list[str]:
    """What a reader has to know of the scores themselves."""
    notes = []
    if not flags_known:
        notes.append(
            f"{FLAGS_UNKNOWN}, so there are all pairs only, and no change accuracy."
        )
    for subset in SUBSETS:
        compared = [
            result[protocol][subset] for protocol in PROTOCOLS if protocol in result
        ]
        rows = [found["CIDEr"] for found in compared if "CIDEr" in found]
        # CIDEr weighs n-grams by how few pairs use them: what all pairs use weighs
        # nothing.
        if pairs[subset] and any(row["a"] == row["b"] == 0 for row in rows):
            notes.append(
                f"CIDEr of {said_of(subset)} is 0 for A and B: so it is by construction, whatever "
                "the captions, where there is one pair, or where all pairs have the same "
                "references."
            )
    return notes


def _row(
    pairs: int, exact: Floats, values: Floats, weights: Sequence[Floats]
) -> ComparisonRow:
    """One metric on one subset.

    exact: (S_a + S_b,), values: (R, S_a + S_b), weights: (R, S_a) and (R, S_b).
    """
    # The reports of A come first, those of B follow.
    split = weights[0].shape[1]
    a, b = exact[:split], exact[split:]
    difference = float(b.mean()) - float(a.mean())
    # (R, S) → (R,): the mean over seeds, weighted as the resample drew them. Both
    # systems saw the same drawn pairs, so the difference is a paired one.
    resampled_a = (weights[0] * values[:, :split]).sum(axis=1)
    resampled_b = (weights[1] * values[:, split:]).sum(axis=1)
    differences = resampled_b - resampled_a
    # What is equal as it is shown counts as equal.
    shown = np.round(differences, DECIMALS)
    row: ComparisonRow = dict.fromkeys(_NUMBERS)
    row["a"] = _known(a.mean())
    row["b"] = _known(b.mean())
    row["difference"] = _known(difference)
    row["a_seed_sd"] = _deviation(a)
    row["b_seed_sd"] = _deviation(b)
    row["note"] = None
    if np.isnan(difference):
        return row  # there is nothing to have an interval of
    reason = why_no_interval(pairs, differences)
    if reason is None:
        spread = Spread.of(differences)
        assert spread is not None, "what is not finite has a reason"
        row["low"], row["high"], row["error"] = spread.low, spread.high, spread.error
        row["share"] = float((shown <= 0).mean())
        row["p"] = p_value(shown)
    elif pairs >= FEWEST_PAIRS and not shown.any():
        row["note"] = "no difference in any resample"
    else:
        row["note"] = reason
    return row


def _known(value: float) -> float | None:
    """A number, or None for one that is not finite."""
    return float(value) if np.isfinite(value) else None


def _deviation(seeds: Floats) -> float | None:
    """The standard deviation between seeds (S,), None of one seed."""
    if len(seeds) == 1:
        return None
    return _known(seeds.std(ddof=1))


def comparison_as_markdown(comparison: dict[str, Any]) -> str:
    """The comparison for reading: who is compared, a table per protocol, the change
    accuracy, notes."""
    method = comparison["method"]
    seeds = ""
    if len(comparison["a"] + comparison["b"]) > 2:
        seeds = " ±: standard deviation between seeds."
    lines = [
        "# Comparison",
        "",
        f"- A: {', '.join(comparison['a'])}",
        f"- B: {', '.join(comparison['b'])}",
        "",
        f"Scores × 100. B − A with its {100 * method['level']:.0f} % interval ({method['name']}, "
        f"{method['resamples']:,} resamples). ≤ 0: share of resamples in which B is not better. "
        f"p: two-sided p-value of no difference.{seeds}",
        "",
    ]
    # Subsets without a pair have no line.
    pairs = {subset: count for subset, count in comparison["pairs"].items() if count}
    for protocol in PROTOCOLS:
        rows = []
        for subset, count in pairs.items():
            for metric, row in comparison.get(protocol, {}).get(subset, {}).items():
                rows.append(_cells(subset, count, metric.replace("*", "\\*"), row))
        if rows:
            lines += [f"## Protocol `{protocol}`", "", *_table(rows), ""]
    rows = []
    for subset, row in comparison["change_accuracy"].items():
        if subset in pairs and row["difference"] is not None:
            rows.append(_cells(subset, pairs[subset], "told right", row))
    if rows:
        lines += ["## Change or no change", "", *_table(rows), ""]
    return "\n".join([*lines, *notes_section(comparison["notes"])])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return table(
        ["pairs", "metric", "A", "B", "B − A", "interval", "≤ 0", "p"], rows, texts=2
    )


def _cells(subset: str, pairs: int, metric: str, row: dict[str, Any]) -> list[str]:
    """The cells of one line; a dash for what there is not."""
    cells = [f"{subset} ({pairs:,})", metric, _score(row, "a"), _score(row, "b")]
    if row["difference"] is None:
        return [*cells, "–", "–", "–", "–"]
    cells.append(f"{row['difference']:+.2f}")
    if row["low"] is None:
        return [*cells, row["note"] or "–", "–", "–"]
    interval = f"{row['low']:+.2f} to {row['high']:+.2f}"
    return [*cells, interval, f"{row['share']:.3f}", f"{row['p']:.4f}"]


def _score(row: dict[str, Any], side: str) -> str:
    deviation = row[f"{side}_seed_sd"]
    if deviation is None:
        return number(row[side])
    return f"{number(row[side])} ± {deviation:.2f}"
