"""An evaluation as a dictionary for JSON, as Markdown, and as one-line signatures.

A signature, after SacreBLEU's (Post 2018), names all that a score depends on besides
the captions: two scores may be compared if their signatures differ in nothing, or only
in what is being compared (the beam, say).
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sencap.evaluation.bootstrap import RESAMPLES, intervals
from sencap.evaluation.calibration import calibration
from sencap.evaluation.diversity import diversity
from sencap.evaluation.names import METRICS, PROTOCOLS, SUBSETS
from sencap.evaluation.protocol import Evaluation, data_digest
from sencap.version import __version__

_ROW_TITLES = {
    "constant": "constant sentence",
    "perfect_flag": "perfect flag, the best two sentences",
    "perfect_flag_fixed": "perfect flag, two fixed sentences",
    "human": "one human against the others",
}


UNKNOWN = "unknown"
"""The beam and the decision in the signature of captions that were found elsewhere."""


def signatures(
    evaluation: Evaluation,
    beam: int | str,
    decision: str = "search",
    length_normalisation: float = 0.0,
) -> dict[str, str]:
    """The one-line signature of each protocol.

    beam: hypotheses kept in the search, 1 for greedy, or UNKNOWN. decision: what made a
    pair changed, not what was asked for: the search's best caption (``search``) or the
    model's probability of change (``probability``), or UNKNOWN. length_normalisation:
    the power of the length by which the search ranked captions, named where it is not
    0. Under ``words`` the vocabulary takes no part in the scoring, and is ``none``.
    """
    # More references per pair raise BLEU and ROUGE, so their number is part of the
    # signature.
    counts = sorted({len(pair.references) for pair in evaluation.pairs})
    fewest, most = counts[0], counts[-1]
    vocabulary = f"{evaluation.vocabulary_size}:{evaluation.vocabulary_digest[:8]}"
    names, meteor = "S*m+BLEU+METEOR+ROUGE-L+CIDEr", "meteor-1.5"
    if not evaluation.has_meteor:
        names, meteor = "BLEU+ROUGE-L+CIDEr", "no-meteor"
    search = {"beam": f"{beam}"}
    if length_normalisation:
        search["length"] = f"{length_normalisation:g}"
    found = {}
    for protocol in PROTOCOLS:
        # The fields in their fixed order; `comparable` reads them back by name.
        fields = {
            "protocol": protocol,
            # Ids are the vocabulary's, so the same captions score differently with
            # another one.
            "vocab": vocabulary if protocol == "ids" else "none",
            "refs": f"{fewest}" if fewest == most else f"{fewest}-{most}",
            **search,
            "decision": decision,
            "pairs": len(evaluation.pairs),
            "data": data_digest(evaluation.pairs)[:8],
            "metric": f"pycocoevalcap-{_version('pycocoevalcap')}/{meteor}",
            "sencap": __version__,
        }
        found[protocol] = "|".join(
            [names, *(f"{name}:{value}" for name, value in fields.items())]
        )
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def report_as_dict(
    evaluation: Evaluation,
    *,
    beam: int | str,
    decision: str = "search",
    length_normalisation: float = 0.0,
    environment: Mapping[str, Any] | None = None,
    parameters: Mapping[str, int] | int | None = None,
    pairs_per_second: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """The report as plain lists and dictionaries that JSON can hold; what there is not
    is None.

    environment: versions and hardware, as the caller found them. parameters: the
    model's, in all or by part. pairs_per_second: captioning speed. Scores are times
    100, change_accuracy is 0..1, log_prob is a natural logarithm. ``json.dumps(…,
    allow_nan=False)`` takes the result: a number that is not finite becomes None.
    resamples, seed: of the bootstrap that gives the intervals. The ``statistics`` of
    each pair are what comparing two reports needs; see ``statistics.PairStatistics``.

    Raises:
        SettingsError: a number of resamples or a seed out of its bounds.
    """
    # The scores come first in the file, then what puts them into their place, and the
    # pairs after them, as they are long.
    report: dict[str, Any] = {
        protocol: evaluation.scores[protocol] for protocol in PROTOCOLS
    }
    rows = {
        name: {**row.scores, "sentences": row.sentences}
        for name, row in evaluation.rows.items()
    }
    # The constant row says the same of every pair; "sentence" gives it without protocol
    # and flag. Its words are the same under both protocols.
    if rows:
        constant = evaluation.rows["constant"]
        rows["constant"]["sentence"] = constant.sentences["words"]["changed"]
    report["reference_rows"] = rows
    report["change_accuracy"] = evaluation.change_accuracy
    report["confusion"] = evaluation.confusion
    probabilities = [pair.change_probability for pair in evaluation.pairs]
    report["calibration"] = calibration(
        probabilities, [pair.changed for pair in evaluation.pairs]
    )
    report["diversity"] = diversity(evaluation.pairs)
    report["intervals"] = intervals(evaluation.system, resamples=resamples, seed=seed)
    report["pairs"] = _pairs(evaluation)
    report["environment"] = environment
    report["signatures"] = signatures(evaluation, beam, decision, length_normalisation)
    report["parameters"] = parameters
    report["pairs_per_second"] = pairs_per_second
    report["notes"] = evaluation.notes
    plain: dict[str, Any] = _plain(report)
    return plain


def _pairs(evaluation: Evaluation) -> list[dict[str, Any]]:
    """What a report says of each pair."""
    kept = {name: one.rows() for name, one in evaluation.system.protocols.items()}
    found = []
    for index, pair in enumerate(evaluation.pairs):
        found.append(
            {
                "filename": pair.filename,
                "hypothesis": " ".join(pair.hypothesis),
                "log_prob": pair.log_prob,
                "changed": pair.changed,
                "told_changed": evaluation.told[index],
                "change_probability": pair.change_probability,
                "scores": evaluation.pair_scores[index],
                "statistics": {
                    protocol: rows[index] for protocol, rows in kept.items()
                },
            }
        )
    return found


def _plain(value: Any) -> Any:
    """The same in dict, list, str, bool, int, finite float and None only; numpy's
    numbers become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    # JSON has no NaN and no infinity.
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


def as_json(report: Mapping[str, Any]) -> str:
    """The report of ``report_as_dict`` as JSON: one key to a line, and a list of numbers on a
    line of its own.

    A bracket before an end of line cannot be inside a string, where JSON writes an end
    of line as ``\\n``.
    """
    text = json.dumps(report, indent=1, allow_nan=False)
    # A pair has dozens of numbers, and one to a line would make the file hard to read.
    # Lists with texts or objects inside are left as they are.
    list_of_numbers = r"\[\n([^][{}\"]*)\]"
    return (
        re.sub(list_of_numbers, lambda found: f"[{' '.join(found[1].split())}]", text)
        + "\n"
    )


def report_as_markdown(report: Mapping[str, Any]) -> str:
    """The report of ``report_as_dict`` for reading: scores under both protocols, reference
    rows, change, run."""
    method = report["intervals"]["method"]
    lines = [
        "# Evaluation",
        "",
        f"Scores × 100, with {100 * method['level']:.0f} % intervals "
        f"({method['name']}, {method['resamples']:,} resamples); a dash: too few "
        "pairs, or a score that no resample changes. Two systems are compared by "
        "`sencap compare`, not by whether their intervals overlap.",
        "",
    ]
    for protocol in PROTOCOLS:
        lines += [f"## Protocol `{protocol}`", "", *score_table(report, protocol), ""]
        lines += [f"`{report['signatures'][protocol]}`", ""]
    lines += _sentences(report)
    if report["change_accuracy"] is not None:
        lines += ["## Change or no change", "", *_confusion(report), ""]
    if report["calibration"] is not None:
        lines += ["## How sure it was", "", *_calibration(report["calibration"]), ""]
    if report.get("diversity") is not None:  # reports of before have none
        lines += [
            "## How different the captions are",
            "",
            *_diversity(report["diversity"]),
            "",
        ]
    lines += _facts(report)
    lines += notes_section(report["notes"])
    return "\n".join(lines)


def score_table(report: Mapping[str, Any], protocol: str) -> list[str]:
    """The scores of a report under one protocol as the lines of a Markdown table, the
    reference rows below them."""
    rows = []
    for subset in SUBSETS:
        if all(score is None for score in report[protocol][subset].values()):
            continue  # a subset without pairs
        title = "**all pairs**" if subset == "all" else f"{subset} pairs"
        # Each subset has two lines, the scores and below them their intervals.
        scores, bounds = report[protocol][subset], report["intervals"][protocol][subset]
        rows.append([title, *(number(scores[metric]) for metric in METRICS)])
        rows.append(["interval", *(_bounds(bounds[metric]) for metric in METRICS)])
    for name, row in report["reference_rows"].items():
        if all(score is None for score in row[protocol].values()):
            continue  # a row that cannot be had
        title = f"*{_ROW_TITLES.get(name, name)}*"
        rows.append([title, *(number(row[protocol][metric]) for metric in METRICS)])
    return table(["", *(metric.replace("*", "\\*") for metric in METRICS)], rows)


def _sentences(report: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, row in report["reference_rows"].items():
        for protocol, said in row["sentences"].items():
            parts = [
                f"“{text}” for {subset} pairs" for subset, text in said.items() if text
            ]
            if parts:
                lines.append(
                    f"- {_ROW_TITLES.get(name, name)} (`{protocol}`): "
                    f"{', '.join(parts)}"
                )
    return _under("The reference rows say:", lines)


def _under(head: str, lines: Sequence[str]) -> list[str]:
    """Lines below a heading; nothing where there are none."""
    return [head, "", *lines, ""] if lines else []


def _confusion(report: Mapping[str, Any]) -> list[str]:
    rows = []
    for truth, counts in report["confusion"].items():
        rows.append(
            [f"{truth} pairs", str(counts["changed"]), str(counts["unchanged"])]
        )
    bounds = report["intervals"]["change_accuracy"]["all"]
    interval = "no interval"
    if bounds:
        interval = f"interval {100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"
    return [
        f"Told right: **{100 * report['change_accuracy']:.1f} %** of "
        f"{len(report['pairs'])} pairs ({interval}).",
        "",
        *table(["", "caption says: changed", "caption says: no change"], rows),
    ]


def _calibration(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for one in found["bins"]:
        bounds = f"{one['from']:.1f} to {one['to']:.1f}"
        mean, share = f"{one['probability']:.2f}", f"{one['changed']:.2f}"
        rows.append([bounds, str(one["pairs"]), mean, share])
    return [
        "Expected calibration error of the probability of change: "
        f"**{found['ece']:.3f}** ({found['pairs']} pairs).",
        "",
        *table(
            ["probability of change", "pairs", "its mean", "share that changed"], rows
        ),
    ]


def _diversity(found: Mapping[str, Any]) -> list[str]:
    people = found["different_of_people"]
    beside = "" if people is None else f" (of one person's sentence each: {people:.1f})"
    return [
        f"Of {found['changed_pairs']} changed pairs' captions "
        f"**{found['different']}** differ from each other{beside}; "
        f"{len(found['repeats'])} sentences say a phrase twice.",
        *_under("", [f"- {sentence}" for sentence in found["repeats"]]),
    ]


def _facts(report: Mapping[str, Any]) -> list[str]:
    facts = []
    if report["parameters"] is not None:
        parts = report["parameters"]
        # A system of others may tell only how many there are in all.
        if not isinstance(parts, Mapping):
            parts = {"in all": parts}
        counts = ", ".join(f"{name} {count:,}" for name, count in parts.items())
        facts.append(f"- Parameters: {counts}")
    if report.get("weights") is not None:  # those of `sencap.weights`, as JSON
        loaded = report["weights"]
        commit = f", commit {loaded['commit']}" if loaded["commit"] else ""
        facts.append(f"- Weights: {loaded['name']}{commit}, SHA-256 {loaded['sha256']}")
    if report["pairs_per_second"] is not None:
        facts.append(f"- Speed: {report['pairs_per_second']:.1f} pairs/s")
    for name, value in (report["environment"] or {}).items():
        facts.append(f"- {name}: {value}")
    return _under("## Run", facts)


def notes_section(notes: Sequence[str]) -> list[str]:
    """The lines of a report's notes; nothing where there are none."""
    return _under("## Notes", [f"- {note}" for note in notes])


def number(value: float | None) -> str:
    """A score as it is shown: two decimals, or a dash for what there is not."""
    return "–" if value is None else f"{value:.2f}"


def _bounds(bounds: Sequence[float] | None) -> str:
    return "–" if bounds is None else f"{bounds[0]:.1f} to {bounds[1]:.1f}"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1
) -> list[str]:
    """The lines of a Markdown table whose first columns are texts, and whose others are
    numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
