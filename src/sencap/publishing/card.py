"""The card of weights, README.md: written from the run, its evaluations and a person's
words, so that no figure in it was typed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sencap.checkpoint_folder import CheckpointFolder, count_stored_parameters
from sencap.errors import DataError
from sencap.evaluation.names import PROTOCOLS
from sencap.evaluation.report import score_table
from sencap.json_files import read_json
from sencap.publishing.about import OTHER, AboutWeights
from sencap.structures import Caption
from sencap.version import __version__
from sencap.weights import Weights

_MOST_MEGABYTES = 512  # of a report: it holds every pair
_NEEDED = (*PROTOCOLS, "reference_rows", "signatures", "weights", "data", "notes")

Report = Mapping[str, Any]


def report_of_weights(path: str | Path, weights: Weights) -> Report:
    """A report of `sencap evaluate --json`, which must be of these very weights.

    Raises:
        DataError: no such report, one that lacks what the card tells, or one of other
            weights.
    """
    report = read_json(path, most_megabytes=_MOST_MEGABYTES, error=DataError)
    again = "write it with: sencap evaluate --weights … --data … --json …"
    if not isinstance(report, dict):
        raise DataError(f"{path} is no report of an evaluation; {again}")
    missing = [
        name for name in _NEEDED if not isinstance(report.get(name), list | dict)
    ]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; {again}")
    # Names and paths may change; the bytes say whether it is of these weights.
    scored = report["weights"].get("sha256")
    if scored != weights.sha256:
        raise DataError(
            f"{path} is of other weights (SHA-256 {str(scored)[:12]}…) than "
            f"{weights.folder} (SHA-256 {weights.sha256[:12]}…); {again}"
        )
    return report


def write_card(
    folder: CheckpointFolder,
    weights: Weights,
    repository: str,
    *,
    about: AboutWeights,
    reports: Sequence[Report],
    example: tuple[str, Caption, str],
) -> str:
    """The text of README.md.

    ``example``: the name of a pair that ships, its caption by these weights, and the
    name of the picture of both.
    """
    # The order of the sections is that in which a reader decides: what, from what,
    # whether it is allowed, what for, how good, where not.
    sections = {
        "What they are": _what(folder, weights),
        "Trained on": [about.data, "", *_run(folder.training)],
        "Licence": _licence(about),
        "Intended use": [about.intended_use],
        "How good they are": _scores(reports),
        "Limits": [about.limits],
        "An example": _example(repository, *example),
    }
    lines = [*_front(about), f"# {repository.partition('/')[2]}", ""]
    lines += [
        "What changed between two overhead images of one place, in an English "
        "sentence. A checkpoint of `sencap`.",
        "",
    ]
    for title, text in sections.items():
        lines += [f"## {title}", "", *text, ""]
    return "\n".join(lines).rstrip() + "\n"


def _front(about: AboutWeights) -> list[str]:
    """What the hub reads: YAML between two rules."""
    named = []
    if about.licence == OTHER:
        named = ["license_name: see-licence-section"]
    return [
        "---",
        f"license: {about.licence}",
        *named,
        "library_name: sencap",
        "pipeline_tag: image-to-text",
        "language: en",
        "tags: [remote-sensing, change-captioning, change-detection, sencap]",
        "---",
        "",
    ]


def _what(folder: CheckpointFolder, weights: Weights) -> list[str]:
    settings = folder.settings
    counts = count_stored_parameters(folder.tensors)
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    backbone = settings.extractor.backbone or "the system's own"
    numbers = {
        "System": settings.system,
        "Backbone": backbone,
        "Parameters": parts,
        "Images": f"{settings.size} × {settings.size} pixels; red, green, blue; 8 bits",
        "Mean": ", ".join(f"{value:g}" for value in settings.mean),
        "Deviation": ", ".join(f"{value:g}" for value in settings.std),
        "Vocabulary": f"{len(folder.vocabulary)} entries, `{folder.vocabulary.digest[:8]}`",
        "SHA-256 of model.safetensors": f"`{weights.sha256}`",
    }
    return [f"- {name}: {value}" for name, value in numbers.items()]


def _run(training: Mapping[str, Any]) -> list[str]:
    """What the run recorded of itself; nothing of converted weights."""
    settings = _entries(training, "settings")
    optimisation = _entries(settings, "optimisation")
    environment = _entries(training, "environment")
    start = _entries(training, "start").get("name") or settings.get("start")
    data = settings.get("data")
    told = {
        "Folders of the run": ", ".join(data) if isinstance(data, list) else data,
        "Chosen by": settings.get("selection_data"),
        "Started from": start,
        "Epochs": optimisation.get("epochs"),
        "The best of them": training.get("epoch"),
        "Learning rate": optimisation.get("learning_rate"),
        "Seed": settings.get("seed"),
        "Device": environment.get("device"),
        "sencap": environment.get("sencap"),
    }
    return [f"- {name}: {value}" for name, value in told.items() if value is not None]


def _entries(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The entries below a name; none where there is something else."""
    value = told.get(name)
    return value if isinstance(value, Mapping) else {}


def _licence(about: AboutWeights) -> list[str]:
    lines = [f"`{about.licence}`"]
    if about.licence_terms:
        lines += ["", about.licence_terms]
    return lines


def _scores(reports: Sequence[Report]) -> list[str]:
    lines = []
    for report in reports:
        data = report["data"]
        pairs = len(report["pairs"])
        split = "+".join(data["split"])
        lines += [f"### {data['name']}, {split}: {pairs} pairs", ""]
        if data.get("limit") is not None:
            lines += [f"Only the first {data['limit']} pairs of the split.", ""]
        for protocol in PROTOCOLS:
            signature = report["signatures"][protocol]
            lines += [f"Protocol `{protocol}`:", "", *score_table(report, protocol), ""]
            lines += [f"`{signature}`", ""]
        # Pairs without flags have no accuracy.
        accuracy = report.get("change_accuracy")
        if isinstance(accuracy, float) and math.isfinite(accuracy):
            lines += [f"Change or no change told right: {100 * accuracy:.1f} %.", ""]
        lines += [f"- {note}" for note in report["notes"]]
    return lines


def _example(repository: str, name: str, caption: Caption, picture: str) -> list[str]:
    return [
        f"![{name}: before and after]({picture})",
        "",
        f"Of the pair `{name}`, which ships with sencap, they say: “{caption.text}”.",
        "",
        "```",
        "pip install 'sencap[hub]'",
        f"sencap caption before.png after.png --weights hub:{repository}@REVISION",
        "```",
        "",
        "REVISION is a commit of this repository, so that the weights stay these. This "
        f"card was written by sencap {__version__}.",
    ]
