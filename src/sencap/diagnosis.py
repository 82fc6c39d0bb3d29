"""What works here and what does not: `sencap doctor`.

What captions and scores is tried: Java is started, the weights are read, an example is
captioned. The extras' packages are only looked for, since PyTorch alone takes seconds
to load. What is optional and absent is no failure; what is there and does not work is
one. Everything heavy is imported where it is tried, so that a part that cannot be
imported is told like any other.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from sencap.environment import environment
from sencap.errors import MissingDependencyError, SencapError
from sencap.extras import EXTRAS

Status = Literal["works", "installed", "absent", "broken"]

# What each extra is for. METEOR has a line of its own.
_USES = {
    "train": "train, pretrain, convert, export, reproduce, bench",
    "figures": "pictures of explanations, and the paper's figures",
    "geo": "georeferenced rasters",
    "seasons": "SSL4EO-S12 v1.1",
    "serve": "a page and an HTTP interface",
    "archive": "long lists of pairs, by Ray Data",
    "hub": "weights of Hugging Face's hub, push",
}


@dataclass(frozen=True)
class Finding:
    """One part: whether it works, what was found, and what to do about it ("" if
    nothing)."""

    name: str
    status: Status
    found: str
    advice: str = ""


def doctor(weights: str | Path | None = None) -> dict[str, Any]:
    """Try every part of an installation, with the weights in a checkpoint folder or
    those that ship.

    Returns ``works`` (nothing is broken), ``findings`` (of each part ``name``,
    ``status``, which is works, installed (not tried), absent or broken, what was
    ``found``, and ``advice``) and the ``environment``.
    """
    parts: dict[str, Callable[[], str]] = {
        "engine": _engine,
        "weights": lambda: _weights(weights),
        "example": lambda: _example(weights),
        "METEOR": _meteor,
        "cache": _cache,
    }
    # Each part is tried whatever became of the one before.
    findings = [_tried(name, try_it) for name, try_it in parts.items()]
    findings += [_extra(name, use) for name, use in _USES.items()]
    return {
        "works": all(finding.status != "broken" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
        "environment": environment(),
    }


def as_text(report: dict[str, Any]) -> str:
    """A report of `doctor` in one screen."""
    here = report["environment"]
    lines = [
        f"sencap {here['sencap']}, Python {here['python']}, {here['system']}, "
        f"{here['cores']} cores"
    ]
    for finding in report["findings"]:
        lines.append(
            f"  {finding['status']:<9} {finding['name']:<8} {finding['found']}"
        )
        if finding["advice"]:
            lines.append(f"{'':21}{finding['advice']}")
    broken = [one["name"] for one in report["findings"] if one["status"] == "broken"]
    lines.append(
        f"does not work: {', '.join(broken)}" if broken else "all that is here works"
    )
    return "\n".join(lines)


def _tried(name: str, try_it: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "works", try_it())
    # What is missing and optional is no failure.
    except MissingDependencyError as error:
        return Finding(name, "absent", _one_line(error))
    except SencapError as error:
        return Finding(name, "broken", _one_line(error))
    except Exception as error:  # whatever it is, it is what was asked for
        return Finding(
            name,
            "broken",
            _one_line(error),
            "install sencap again: pip install -U sencap",
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or "it ended without a word"


def _engine() -> str:
    runtime = importlib.import_module("onnxruntime")
    return f"ONNX Runtime {runtime.__version__}: {', '.join(runtime.get_available_providers())}"


def _weights(weights: str | Path | None) -> str:
    from sencap.checkpoint_folder import count_stored_parameters, read_checkpoint_folder  # noqa: PLC0415
    from sencap.weights import resolve_weights  # noqa: PLC0415

    found = resolve_weights(weights)
    folder = read_checkpoint_folder(found.folder)
    files = [path for path in folder.path.iterdir() if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    parameters = count_stored_parameters(folder.tensors)["total"]
    graphs = (
        "with graphs" if (folder.path / "encoder.onnx").is_file() else "without graphs"
    )
    whose = "those that ship" if weights is None else str(weights)
    commit = f", commit {found.commit[:12]}" if found.commit else ""
    return (
        f"{whose}: {parameters:,} parameters, {len(folder.vocabulary)} words, "
        f"{megabytes:.0f} MB, {graphs}{commit}, SHA-256 {found.sha256[:12]}"
    )


def _example(weights: str | Path | None) -> str:
    from sencap.demonstration import EXAMPLES  # noqa: PLC0415
    from sencap.images import find_pairs  # noqa: PLC0415
    from sencap.predictor import load  # noqa: PLC0415

    begin = time.perf_counter()
    predictor = load(weights)
    before, after, _ = find_pairs(EXAMPLES)[0]
    # The two times are told apart: loading happens once, captioning for each pair.
    loaded = time.perf_counter()
    text = predictor(before, after).text
    seconds = time.perf_counter() - loaded
    return f"“{text}” in {seconds:.2f} s, after {loaded - begin:.1f} s of loading"


def _meteor() -> str:
    from sencap.evaluation.meteor import check_meteor, java_version  # noqa: PLC0415

    check_meteor()
    return java_version()


def _cache() -> str:
    from sencap.weights.hub import cache_state  # noqa: PLC0415

    return cache_state()


def _extra(extra: str, use: str) -> Finding:
    """Whether the packages of an extra are here; they are not loaded."""
    packages = [
        package for package, brought_by in EXTRAS.items() if brought_by == extra
    ]
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        lacks = ", ".join(missing)
        return Finding(
            extra,
            "absent",
            f"for {use}",
            f"lacks {lacks}: pip install 'sencap[{extra}]'",
        )
    versions = [f"{package} {_version(package)}" for package in packages]
    return Finding(extra, "installed", ", ".join(versions[:4]))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of an unknown version"
