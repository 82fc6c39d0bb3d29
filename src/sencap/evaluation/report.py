"""An evaluation as a dictionary for JSON, as Markdown, and as one-line signatures.

A signature, after SacreBLEU's (Post 2018), names all that a score depends on besides the captions: two scores
may be compared if their signatures differ in nothing, or only in what is being compared (the beam, say).
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import sencap
from sencap.data.vocabulary import NO_CHANGE_SENTENCES
from sencap.evaluation.protocol import PROTOCOLS, SUBSETS, Evaluation, data_digest
from sencap.evaluation.scoring import METRICS, Scores

_ROW_TITLES = {
    "constant": "constant sentence",
    "perfect_flag": "perfect flag, the best two sentences",
    "perfect_flag_fixed": "perfect flag, two fixed sentences",
    "human": "one human against the others",
}


def signatures(evaluation: Evaluation, beam: int, decision: str = "search") -> dict[str, str]:
    """The one-line signature of each protocol.

    beam: hypotheses kept in the search, 1 for greedy. decision: what made a pair changed: the search's best
    caption (``search``) or the model's probability of change (``probability``). Under ``words`` the
    vocabulary takes no part in the scoring, and is ``none``.
    """
    counts = sorted({len(pair.references) for pair in evaluation.pairs})
    references = str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    meteor = "meteor-1.5" if evaluation.has_meteor else "no-meteor"
    vocabulary = f"{evaluation.vocabulary_size}:{evaluation.vocabulary_digest[:8]}"
    names = "S*m+BLEU+METEOR+ROUGE-L+CIDEr" if evaluation.has_meteor else "BLEU+ROUGE-L+CIDEr"
    return {
        protocol: "|".join(
            (
                names,
                f"protocol:{protocol}",
                f"vocab:{vocabulary if protocol == 'ids' else 'none'}",
                f"refs:{references}",
                f"beam:{beam}",
                f"decision:{decision}",
                f"pairs:{len(evaluation.pairs)}",
                f"data:{data_digest(evaluation.pairs)[:8]}",
                f"metric:pycocoevalcap-{_version('pycocoevalcap')}/{meteor}",
                f"sencap:{sencap.__version__}",
            )
        )
        for protocol in PROTOCOLS
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def as_dict(
    evaluation: Evaluation,
    *,
    beam: int,
    decision: str = "search",
    environment: Mapping[str, Any] | None = None,
    parameters: Mapping[str, int] | int | None = None,
    pairs_per_second: float | None = None,
) -> dict[str, Any]:
    """The report as plain lists and dictionaries that JSON can hold; what there is not is None.

    environment: versions and hardware, as the caller found them. parameters: the model's, in all or by part.
    pairs_per_second: captioning speed. Scores are times 100, change_accuracy is 0..1, log_prob is a natural
    logarithm. ``json.dumps(…, allow_nan=False)`` takes the result: a number that is not finite becomes None.
    """
    report: dict[str, Any] = {protocol: evaluation.scores[protocol] for protocol in PROTOCOLS}
    report["reference_rows"] = {
        name: {**row.scores, "sentences": row.sentences} for name, row in evaluation.rows.items()
    }
    if evaluation.rows:
        report["reference_rows"]["constant"]["sentence"] = NO_CHANGE_SENTENCES[0]
    report["change_accuracy"] = evaluation.change_accuracy
    report["confusion"] = evaluation.confusion
    report["pairs"] = [
        {
            "filename": pair.filename,
            "hypothesis": " ".join(pair.hypothesis),
            "log_prob": pair.log_prob,
            "changed": pair.changed,
            "scores": by_protocol,
        }
        for pair, by_protocol in zip(evaluation.pairs, evaluation.pair_scores, strict=True)
    ]
    report["environment"] = environment
    report["signatures"] = signatures(evaluation, beam, decision)
    report["parameters"] = parameters
    report["pairs_per_second"] = pairs_per_second
    report["notes"] = evaluation.notes
    plain: dict[str, Any] = _plain(report)
    return plain


def _plain(value: Any) -> Any:
    """The same in dict, list, str, bool, int, finite float and None only; numpy's numbers become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report of ``as_dict`` for reading: scores under both protocols, reference rows, change, run."""
    lines = ["# Evaluation", ""]
    for protocol in PROTOCOLS:
        lines += [f"## Protocol `{protocol}`", "", *_score_table(report, protocol), ""]
        lines += [f"`{report['signatures'][protocol]}`", ""]
    lines += _sentences(report)
    lines += ["## Change or no change", "", *_confusion(report), ""]
    lines += _facts(report)
    if report["notes"]:
        lines += ["## Notes", "", *(f"- {note}" for note in report["notes"]), ""]
    return "\n".join(lines)


def _score_table(report: Mapping[str, Any], protocol: str) -> list[str]:
    named: list[tuple[str, Scores]] = [
        (subset if subset == "all" else f"{subset} pairs", report[protocol][subset]) for subset in SUBSETS
    ]
    named[0] = ("**all pairs**", named[0][1])
    for name, row in report["reference_rows"].items():
        named.append((f"*{_ROW_TITLES.get(name, name)}*", row[protocol]))
    rows = [[title, *(_number(scores[metric]) for metric in METRICS)] for title, scores in named]
    return _table(["", *(metric.replace("*", "\\*") for metric in METRICS)], rows)


def _sentences(report: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, row in report["reference_rows"].items():
        for protocol, said in row["sentences"].items():
            parts = [f"“{sentence}” for {subset} pairs" for subset, sentence in said.items() if sentence]
            if parts:
                lines.append(f"- {_ROW_TITLES.get(name, name)} (`{protocol}`): {', '.join(parts)}")
    return ["The reference rows say:", "", *lines, ""] if lines else []


def _confusion(report: Mapping[str, Any]) -> list[str]:
    table = report["confusion"]
    rows = [
        [f"{truth} pairs", str(table[truth]["changed"]), str(table[truth]["unchanged"])]
        for truth in ("changed", "unchanged")
    ]
    return [
        f"Told right: **{100 * report['change_accuracy']:.1f} %** of {len(report['pairs'])} pairs.",
        "",
        *_table(["", "caption says: changed", "caption says: no change"], rows),
    ]


def _facts(report: Mapping[str, Any]) -> list[str]:
    facts = []
    if report["parameters"] is not None:
        by_part = report["parameters"]
        parts = by_part.items() if isinstance(by_part, Mapping) else [("in all", by_part)]
        facts.append("- Parameters: " + ", ".join(f"{name} {number:,}" for name, number in parts))
    if report["pairs_per_second"] is not None:
        facts.append(f"- Speed: {report['pairs_per_second']:.1f} pairs/s")
    for name, value in (report["environment"] or {}).items():
        facts.append(f"- {name}: {value}")
    return ["## Run", "", *facts, ""] if facts else []


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
