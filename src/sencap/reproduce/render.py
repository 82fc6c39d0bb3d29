"""An experiment's result as a Markdown table, with the paper's figures beside ours."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from sencap.evaluation.names import METRICS
from sencap.evaluation.report import notes_section
from sencap.reproduce.experiments import SIZE

REFERENCE_ROWS = {
    "constant": "constant sentence",
    "perfect_flag_fixed": "perfect flag, two fixed sentences",
}


def summary(values: Sequence[float]) -> tuple[float, float]:
    """Mean and the sample's standard deviation (NaN for a single value)."""
    deviation = float("nan")
    if len(values) > 1:
        deviation = statistics.stdev(values)
    return statistics.fmean(values), deviation


def as_markdown(result: dict[str, Any]) -> str:
    """The table, the paper's, how the order of the rows compares with it, and what ours
    was made with."""
    # Rows without a finished run are left out until they have one.
    rows = {name: row for name, row in result["rows"].items() if row["seeds"]}
    lines = [f"# {result['title']}", ""]
    if result["picture"]:
        lines += [f"![{result['title']}]({result['picture']})", ""]
    lines += [
        f"Scale `{result['scale']}`, split `{result['split']}`, {_seeds(rows)}; "
        "protocol `ids`, × 100. Not the paper's conditions unless the scale is "
        "`paper`.",
        "",
        *_table(rows, result["reference_rows"]),
        "",
        *(f"Left out: {line}.\n" for line in result["left_out"]),
        *_papers(rows),
        *_order(rows),
    ]
    if any(row["pretrained"] for row in rows.values()):
        lines += [
            "All seeds of a row start from one pre-training: what its own seed would "
            "vary is not in ±.",
            "",
        ]
    lines += notes_section(result.get("notes", []))
    lines += [*_time(rows), f"`{result['signature']}`", "", _environment(result), ""]
    return "\n".join(lines)


def _seeds(rows: dict[str, Any]) -> str:
    """What the figures are taken over."""
    counts = [len(row["seeds"]) for row in rows.values()]
    fewest, most = min(counts), max(counts)
    if most == 1:
        return "one seed"
    counted = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"mean ± standard deviation over {counted} seeds"


def _table(rows: dict[str, Any], references: dict[str, Any]) -> list[str]:
    """Ours: a line for each row, then the reference rows."""
    columns = (*METRICS, "change accuracy", "paper's S\\*m", "parameters", "pairs/s")
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, row in rows.items():
        seeds = list(row["seeds"].values())
        cells = [_cell(_of_each(seeds, metric), 2) for metric in METRICS]
        cells.append(_cell(_of_each(seeds, "change_accuracy"), 3))
        cells.append(_cell([row["paper"].get("S*m")], 2))
        cells.append(f"{row['parameters']:,}")
        cells.append(_cell([row["pairs_per_second"]], 1))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, title in REFERENCE_ROWS.items():
        scores = references[name]["ids"]
        cells = [_cell([scores.get(metric)], 2) for metric in METRICS]
        lines.append(f"| *{title}* | {' | '.join(cells)} | | | | |")
    return lines


def _of_each(seeds: Sequence[dict[str, Any]], name: str) -> list[float | None]:
    return [seed.get(name) for seed in seeds]


def _cell(values: Sequence[float | None], digits: int) -> str:
    """The mean, with the deviation where there are several; a dash where none is
    known."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean, deviation = summary(known)
    if len(known) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _papers(rows: dict[str, Any]) -> list[str]:
    """The paper's own table, where it has more than one figure a row."""
    # A single figure stands beside ours, in the column of the paper's S*m.
    papers = {name: row["paper"] for name, row in rows.items() if len(row["paper"]) > 1}
    if not papers:
        return []
    columns = METRICS + SIZE
    lines = [
        "The paper's figures:",
        "",
        f"| | {' | '.join(columns)} |",
        "|---|" + "---:|" * len(columns),
    ]
    for name, figures in papers.items():
        cells = [
            _cell([figures.get(column)], 1 if column in SIZE else 2)
            for column in columns
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _time(rows: dict[str, Any]) -> list[str]:
    """What the trainings took, of those that have a record of it."""
    total, known, runs = 0.0, 0, 0
    each = []
    for name, row in rows.items():
        took = _of_each(list(row["seeds"].values()), "seconds")
        recorded = [seconds for seconds in took if seconds is not None]
        runs += len(took)
        known += len(recorded)
        total += sum(recorded)
        if recorded:
            each.append(f"{name} {statistics.fmean(recorded) / 60:.1f}")
    if not known:
        return []
    of = f" ({known} of {runs} runs; the others have no record)" if known < runs else ""
    hours = f"{total / 3600:.1f} hours in all{of}"
    return [f"Training took {hours}; minutes a run: {', '.join(each)}.", ""]


def _order(rows: dict[str, Any]) -> list[str]:
    """Which pairs of rows stand the other way round than in the paper."""
    ours, papers = {}, {}
    for name, row in rows.items():
        found = _of_each(list(row["seeds"].values()), "S*m")
        values = [value for value in found if value is not None]
        if values and "S*m" in row["paper"]:
            ours[name], papers[name] = statistics.fmean(values), row["paper"]["S*m"]
    # At small scale figures are far from the paper's; their order is what can be
    # compared.
    pairs = list(itertools.combinations(ours, 2))
    if not pairs:
        return []
    # The product of the two differences is negative where their signs are unlike.
    other = [
        f"{a} / {b}"
        for a, b in pairs
        if (ours[a] - ours[b]) * (papers[a] - papers[b]) < 0
    ]
    agreeing = f"Of {len(pairs)} pairs of rows {len(pairs) - len(other)} stand in the paper's order"
    turned = f"; the other way round: {', '.join(other)}" if other else ""
    return [f"{agreeing} by S\\*m{turned}.", ""]


def _environment(result: dict[str, Any]) -> str:
    return " · ".join(f"{key} {value}" for key, value in result["environment"].items())
