"""The paper's tables and figures as experiments: what is run is data, how it is run is
written once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sencap.reproduce.experiments import EXPERIMENTS, Experiment, TableRow
    from sencap.reproduce.options import Options
    from sencap.reproduce.run import reproduce

# Loaded when first used: an unknown table is refused before PyTorch is there.
_HOMES = {
    "EXPERIMENTS": "sencap.reproduce.experiments",
    "Experiment": "sencap.reproduce.experiments",
    "Options": "sencap.reproduce.options",
    "TableRow": "sencap.reproduce.experiments",
    "reproduce": "sencap.reproduce.run",
}

__all__ = ["EXPERIMENTS", "Experiment", "Options", "TableRow", "reproduce"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sencap.reproduce' has no attribute {name!r}")
