"""An experiment's result as a Markdown table, with the paper's figures beside ours."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from sencap.reproduce.experiments import METRICS, SIZE

REFERENCE_ROWS = {
    "constant": "constant sentence",
    "perfect_flag_fixed": "perfect flag, two fixed sentences",
}


def summary(values: Sequence[float]) -> tuple[float, float]:
    """Mean and the sample's standard deviation (NaN for a single value)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else float("nan")


def as_markdown(result: dict[str, Any]) -> str:
    """The table, the paper's, how the order of the rows compares with it, and what ours was made
    with."""
    rows = {name: row for name, row in result["rows"].items() if row["seeds"]}
    counts = sorted({len(row["seeds"]) for row in rows.values()})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    over = "one seed" if seeds == "1" else f"mean ± standard deviation over {seeds} seeds"
    lines = [
        f"# {result['title']}",
        "",
        *([f"![{result['title']}]({result['picture']})", ""] if result["picture"] else []),
        f"Scale `{result['scale']}`, split `{result['split']}`, {over}; protocol "
        "`ids`, × 100. Not the paper's conditions unless the scale is `paper`.",
        "",
        f"| | {' | '.join(METRICS)} | change accuracy | paper's S\\*m | parameters | pairs/s |",
        "|---|" + "---:|" * (len(METRICS) + 4),
    ]
    for name, row in rows.items():
        cells = [
            _cell([seed.get(metric) for seed in row["seeds"].values()], 2) for metric in METRICS
        ]
        cells.append(_cell([seed["change_accuracy"] for seed in row["seeds"].values()], 3))
        paper, speed = row["paper"].get("S*m"), row["pairs_per_second"]
        cells.append("–" if paper is None else f"{paper:.2f}")
        cells.append(f"{row['parameters']:,}")
        cells.append("–" if speed is None else f"{speed:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, title in REFERENCE_ROWS.items():
        scores = result["reference_rows"][name]["ids"]
        cells = [_cell([scores.get(metric)], 2) for metric in METRICS]
        lines.append(f"| *{title}* | {' | '.join(cells)} | | | | |")
    lines += [
        "",
        *(f"Left out: {line}.\n" for line in result["left_out"]),
        *_papers(rows),
        *_order(rows),
    ]
    if any(row["pretrained"] for row in rows.values()):
        lines += [
            "All seeds of a row start from one pre-training: what its own seed would vary is not "
            "in ±.",
            "",
        ]
    lines += [*_time(rows), f"`{result['signature']}`", ""]
    return "\n".join([*lines, _environment(result), ""])


def _cell(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean, deviation = summary(known)
    return f"{mean:.{digits}f}" + ("" if len(known) == 1 else f" ± {deviation:.{digits}f}")


def _papers(rows: dict[str, Any]) -> list[str]:
    """The paper's own table, where it has more than one figure a row."""
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
        cells = [_cell([figures.get(column)], 1 if column in SIZE else 2) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _time(rows: dict[str, Any]) -> list[str]:
    """What the trainings took, of those that have a record of it."""
    runs = sum(len(row["seeds"]) for row in rows.values())
    known = {
        name: [seed["seconds"] for seed in row["seeds"].values() if seed.get("seconds") is not None]
        for name, row in rows.items()
    }
    total, count = sum(map(sum, known.values())), sum(map(len, known.values()))
    if not count:
        return []
    each = ", ".join(
        f"{name} {statistics.fmean(took) / 60:.1f}" for name, took in known.items() if took
    )
    of = f" ({count} of {runs} runs; the others have no record)" if count < runs else ""
    return [f"Training took {total / 3600:.1f} hours in all{of}; minutes a run: {each}.", ""]


def _order(rows: dict[str, Any]) -> list[str]:
    """Which pairs of rows stand the other way round than in the paper."""
    ours, papers = {}, {}
    for name, row in rows.items():
        values = [seed["S*m"] for seed in row["seeds"].values() if seed.get("S*m") is not None]
        if values and "S*m" in row["paper"]:
            ours[name], papers[name] = statistics.fmean(values), row["paper"]["S*m"]
    pairs = list(itertools.combinations(ours, 2))
    other = [f"{a} / {b}" for a, b in pairs if (ours[a] - ours[b]) * (papers[a] - papers[b]) < 0]
    if not pairs:
        return []
    agreeing = f"Of {len(pairs)} pairs of rows {len(pairs) - len(other)} stand in the paper's order by S\\*m"
    return [agreeing + (f"; the other way round: {', '.join(other)}." if other else "."), ""]


def _environment(result: dict[str, Any]) -> str:
    return " · ".join(f"{key} {value}" for key, value in result["environment"].items())
