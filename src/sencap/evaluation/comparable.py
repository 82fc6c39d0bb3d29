"""Reading reports back, and whether their scores may be compared, told from their signatures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sencap.errors import DataError
from sencap.evaluation.protocol import PROTOCOLS
from sencap.evaluation.statistics import PairStatistics, System

_EQUAL = {
    "pairs": "their numbers of pairs differ",
    "data": "they were scored on other pairs or references",
    "refs": "their numbers of references per pair differ",
    "vocab": "their vocabularies differ, and scores under ids depend on the vocabulary",
    "metric": "their metrics come from other versions",
}
_NEXT = {
    "vocab": "compare them with --protocol words, or evaluate systems that share a vocabulary",
    "metric": "evaluate all of them with one version",
}
_MAY_DIFFER = ("beam", "decision", "sencap")
_NO_METEOR = "no-meteor"


@dataclass(frozen=True)
class Report:
    """A report of ``sencap evaluate`` as comparing needs it.

    signatures: protocol → field → value, as in ``report.signatures``. filenames: of the pairs, in their order.
    """

    path: str
    signatures: Mapping[str, Mapping[str, str]]
    filenames: tuple[str, ...]
    system: System


def read_report(path: str | Path) -> Report:
    """Read a report that ``sencap evaluate --json`` wrote.

    Raises DataError when the file cannot be read, is no report, or was written before reports kept statistics.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); give files of sencap evaluate --json"
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}); give files of sencap evaluate --json") from error
    if not isinstance(content, dict) or not content.get("pairs") or "signatures" not in content:
        raise DataError(f"{path}: is not a report; give files that sencap evaluate --json wrote")
    if "statistics" not in content["pairs"][0]:
        raise DataError(
            f"{path}: was written by a version of sencap whose reports hold no statistics of the pairs "
            f"({_version(content)}); run sencap evaluate --json again, with the same weights and options"
        )
    try:
        return _report(str(path), content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: is not a whole report ({type(error).__name__}: {error}); run sencap evaluate --json again"
        ) from error


def _version(content: Mapping[str, Any]) -> str:
    return f"sencap {(content.get('environment') or {}).get('sencap', 'of an unknown version')}"


def _report(path: str, content: Mapping[str, Any]) -> Report:
    pairs = content["pairs"]
    changed = np.array([pair["changed"] for pair in pairs], dtype=np.bool_)
    told = np.array([pair["told_changed"] for pair in pairs], dtype=np.bool_)
    statistics = {
        protocol: PairStatistics.from_rows([pair["statistics"][protocol] for pair in pairs])
        for protocol in PROTOCOLS
    }
    return Report(
        path=path,
        signatures={protocol: _fields(content["signatures"][protocol]) for protocol in PROTOCOLS},
        filenames=tuple(pair["filename"] for pair in pairs),
        system=System(statistics, changed, changed == told),
    )


def _fields(signature: str) -> dict[str, str]:
    """The fields of a signature; the metric's version and whether there was METEOR come apart."""
    fields = dict(part.split(":", 1) for part in signature.split("|")[1:])
    fields["metric"], _, fields["meteor"] = fields["metric"].partition("/")
    return fields


def check_comparable(reports: Sequence[Report], protocols: Sequence[str]) -> list[str]:
    """What a reader has to know of reports that may be compared under some protocols: in what they differ.

    Raises DataError, with the reason, when they may not: other pairs or references, another vocabulary under
    ``ids``, metrics of other versions. A beam, a decision or a version of sencap that differs is only noted,
    and so is a METEOR that is missing.
    """
    for protocol in protocols:
        for field, reason in _EQUAL.items():
            _refuse_unequal(reports, protocol, field, reason)
        with_meteor = [one for one in reports if one.signatures[protocol]["meteor"] != _NO_METEOR]
        if len({one.signatures[protocol]["meteor"] for one in with_meteor}) > 1:
            _refuse_unequal(with_meteor, protocol, "meteor", _EQUAL["metric"])
    first = reports[0]
    for other in reports[1:]:
        if other.filenames != first.filenames or (other.system.changed != first.system.changed).any():
            raise DataError(
                f"{first.path} and {other.path}: their pairs are not the same in the same order, although "
                "their signatures say so; was a file edited? run sencap evaluate --json again"
            )
    return _notes(reports, protocols[0])


def _refuse_unequal(reports: Sequence[Report], protocol: str, field: str, reason: str) -> None:
    first = reports[0]
    mine = first.signatures[protocol][field]
    for other in reports[1:]:
        theirs = other.signatures[protocol][field]
        if theirs != mine:
            step = _NEXT.get(field, "evaluate all of them on the same data")
            raise DataError(
                f"{first.path} and {other.path} cannot be compared: {reason} "
                f"({field}:{mine} and {field}:{theirs}); {step}"
            )


def _notes(reports: Sequence[Report], protocol: str) -> list[str]:
    notes = []
    for field in _MAY_DIFFER:
        by_value: dict[str, list[str]] = {}
        for report in reports:
            by_value.setdefault(report.signatures[protocol][field], []).append(report.path)
        if len(by_value) > 1:
            said = "; ".join(f"{value} in {', '.join(paths)}" for value, paths in by_value.items())
            notes.append(f"{field} differs: {said}. If it is not what is compared, make it the same.")
    without = [one.path for one in reports if one.signatures[protocol]["meteor"] == _NO_METEOR]
    if without:
        notes.append(
            f"No METEOR, and so no S*m, in {', '.join(without)}: evaluated where Java was missing. "
            "The other metrics are compared."
        )
    return notes
