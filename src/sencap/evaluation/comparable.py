"""Reading reports back, and whether their scores may be compared, told from their
signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from sencap.errors import DataError, ShapeError
from sencap.evaluation.names import PROTOCOLS
from sencap.evaluation.statistics import PairStatistics, System, agree, as_flags
from sencap.json_files import read_json, shown

# Fields of a signature that must agree, each with the reason for a refusal.
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
# A beam or a decision is often the very thing that is compared, so a difference is told
# and not refused.
_MAY_DIFFER = ("beam", "length", "decision", "sencap")
# Named only where the search normalised the length of captions.
_UNNAMED = {"length": "0"}
_NO_METEOR = "no-meteor"
_KINDS = {str: "a text", bool: "true or false", NoneType: "null", dict: "an object"}
_LARGEST = 100
"""Megabytes of a report at most; one of 1,929 pairs has 2."""


@dataclass(frozen=True)
class ComparedReport:
    """A report of ``sencap evaluate`` as comparing needs it.

    signatures: protocol → field → value, as in ``report.signatures``. filenames: of the
    pairs, in their order.
    """

    path: str
    signatures: Mapping[str, Mapping[str, str]]
    filenames: tuple[str, ...]
    system: System


def read_report(path: str | Path) -> ComparedReport:
    """Read a report that ``sencap evaluate --json`` wrote.

    Raises:
        DataError: the file cannot be read, is no report, or was written before reports
            kept statistics.
    """
    try:
        content = read_json(path, most_megabytes=_LARGEST, error=DataError)
    except DataError as error:
        raise DataError(f"{error}; give files of sencap evaluate --json") from error
    whole = isinstance(content, dict) and "signatures" in content
    pairs = whole and content.get("pairs")
    if not isinstance(pairs, list) or not pairs:
        raise DataError(
            f"{path}: is not a report; give files that sencap evaluate --json wrote"
        )
    # Reports of older versions are real reports, and their users need another advice
    # than those who gave the wrong file.
    if isinstance(pairs[0], dict) and "statistics" not in pairs[0]:
        raise DataError(
            f"{path}: was written by a version of sencap whose reports hold no "
            f"statistics of the pairs ({_version(content)}); run sencap evaluate "
            "--json again, with the same weights and options"
        )
    try:
        return _report(str(path), content)
    except (DataError, ShapeError) as error:
        raise DataError(
            f"{path}: is not a whole report: {error}; run sencap evaluate --json again"
        ) from error


def _version(content: Mapping[str, Any]) -> str:
    environment = content.get("environment")
    if isinstance(environment, dict) and isinstance(environment.get("sencap"), str):
        return f"sencap {environment['sencap']}"
    return "sencap of an unknown version"


def _report(path: str, content: Mapping[str, Any]) -> ComparedReport:
    """The report; raises DataError with the place of what is missing or of another
    kind."""
    changed, told, filenames = [], [], []
    statistics: dict[str, list[Any]] = {protocol: [] for protocol in PROTOCOLS}
    for index, pair in enumerate(content["pairs"]):
        place = f"pairs[{index}]"
        filenames.append(_entry(pair, "filename", place, str))
        changed.append(_entry(pair, "changed", place, bool, NoneType))
        told.append(_entry(pair, "told_changed", place, bool, NoneType))
        # What every pair has to hold; the place in the message leads to the entry that
        # does not.
        by_protocol = _entry(pair, "statistics", place, dict)
        for protocol in PROTOCOLS:
            statistics[protocol].append(
                _entry(by_protocol, protocol, f"{place}.statistics", dict)
            )
    signatures = {
        protocol: _fields(_entry(content["signatures"], protocol, "signatures", str))
        for protocol in PROTOCOLS
    }
    flags = as_flags(changed)
    return ComparedReport(
        path=path,
        signatures=signatures,
        filenames=tuple(filenames),
        system=System(
            {
                protocol: PairStatistics.from_rows(rows)
                for protocol, rows in statistics.items()
            },
            changed=flags,
            right=agree(flags, as_flags(told)),
        ),
    )


def _entry(container: Any, key: str, place: str, *kinds: type) -> Any:
    """The value under a key; DataError, with the place, if there is none or it is of
    another kind."""
    if not isinstance(container, dict):
        raise DataError(f"{place} is {shown(container)}, and no object")
    if key not in container:
        raise DataError(f"{place} has no {key!r}")
    value = container[key]
    if not isinstance(value, kinds):
        names = " or ".join(_KINDS[kind] for kind in kinds)
        raise DataError(f"{place}.{key} is {shown(value)}, not {names}")
    return value


def _fields(signature: str) -> dict[str, str]:
    """The fields of a signature; the metric's version and whether there was METEOR come
    apart."""
    fields = dict(_UNNAMED)
    # The first part names the metrics, and is no field.
    for part in signature.split("|")[1:]:
        name, _, value = part.partition(":")
        fields[name] = value
    missing = [name for name in (*_EQUAL, *_MAY_DIFFER) if name not in fields]
    if missing:
        raise DataError(
            f"the signature {shown(signature)} does not name {', '.join(missing)}"
        )
    # The field reads pycocoevalcap-VERSION/meteor-1.5 or
    # pycocoevalcap-VERSION/no-meteor. A missing METEOR leaves the other metrics
    # comparable, so it is judged by itself.
    fields["metric"], _, fields["meteor"] = fields["metric"].partition("/")
    return fields


def check_comparable(
    reports: Sequence[ComparedReport], protocols: Sequence[str]
) -> list[str]:
    """What a reader has to know of reports that may be compared under some protocols:
    in what they differ.

    A search, a decision or a version of sencap that differs is only noted, and so is a
    METEOR that is missing.

    Raises:
        DataError: they may not, with the reason: other pairs or references, another
            vocabulary under ``ids``, metrics of other versions.
    """
    for protocol in protocols:
        for field, reason in _EQUAL.items():
            _refuse_unequal(reports, protocol, field, reason)
        # Two reports with METEOR must have the same one; a report without takes no
        # part.
        with_meteor = [
            one for one in reports if one.signatures[protocol]["meteor"] != _NO_METEOR
        ]
        if len({one.signatures[protocol]["meteor"] for one in with_meteor}) > 1:
            _refuse_unequal(with_meteor, protocol, "meteor", _EQUAL["metric"])
    # The signatures hold only the first eight digits of a hash of the data, and a file
    # can be edited. Names and flags are compared in full, because resamples draw pairs
    # by their place in the list.
    first = reports[0]
    for other in reports[1:]:
        same_flags = np.array_equal(
            other.system.changed, first.system.changed, equal_nan=True
        )
        if other.filenames != first.filenames or not same_flags:
            raise DataError(
                f"{first.path} and {other.path}: their pairs are not the same in the "
                "same order, although their signatures say so; was a file edited? "
                "run sencap evaluate --json again"
            )
    return _notes(reports, protocols[0])


def _refuse_unequal(
    reports: Sequence[ComparedReport], protocol: str, field: str, reason: str
) -> None:
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


def _notes(reports: Sequence[ComparedReport], protocol: str) -> list[str]:
    notes = []
    for field in _MAY_DIFFER:
        by_value: dict[str, list[str]] = {}
        for report in reports:
            by_value.setdefault(report.signatures[protocol][field], []).append(
                report.path
            )
        if len(by_value) > 1:
            said = "; ".join(
                f"{value} in {', '.join(paths)}" for value, paths in by_value.items()
            )
            notes.append(
                f"{field} differs: {said}. If it is not what is compared, make it "
                "the same."
            )
    without = [
        one.path for one in reports if one.signatures[protocol]["meteor"] == _NO_METEOR
    ]
    if without:
        notes.append(
            f"No METEOR, and so no S*m, in {', '.join(without)}: evaluated where "
            "Java was missing. The other metrics are compared."
        )
    return notes
