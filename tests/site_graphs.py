"""Graphs of captioners that are traced once for all networks of one build.

Tracing takes nine of the ten seconds of a tiny training. Graphs of some systems hold no
weights, only where they lie in ``model.safetensors``, so they fit every network of the same
settings; those of the others hold what was computed from a weight, and fit these weights
alone. What `sencap.models.export` checks afterwards is checked of a copy too.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sencap.checkpoint_folder import read_header
from sencap.engines.graphs import GRAPHS, WEIGHTS
from sencap.models.captioner import Captioner

POINTING = ("sen", "siamese")  # systems whose graphs hold no weights
Export = Callable[..., list[Path]]


class TracedOnce:
    """Stands for `export_graphs`, and keeps in a folder what that has written."""

    def __init__(self, export: Export, kept: Path) -> None:
        self.export, self.kept = export, kept

    def __call__(self, captioner: Captioner, folder: Path, **sizes: Any) -> list[Path]:
        kept = self.kept / _build_of(captioner, folder / WEIGHTS, sizes)
        if not kept.is_dir():
            written = self.export(captioner, folder, **sizes)
            self._keep(written, kept)
            return written
        return [Path(shutil.copy(kept / name, folder / name)) for name in GRAPHS]

    def _keep(self, written: list[Path], kept: Path) -> None:
        """Whole or not at all, since other processes of the tests look here too."""
        draft = kept.with_name(f"{kept.name}-{id(self)}")
        draft.mkdir(parents=True)
        for path in written:
            shutil.copy(path, draft)
        with contextlib.suppress(OSError):  # another process was first
            draft.rename(kept)


def _build_of(captioner: Captioner, weights: Path, sizes: dict[str, Any]) -> str:
    """What the settings say and where each weight lies in the file, in few letters."""
    told = f"{captioner.settings} {read_header(weights)} {sorted(sizes.items())}"
    if captioner.settings.system not in POINTING:
        told += hashlib.sha256(weights.read_bytes()).hexdigest()
    return hashlib.sha256(told.encode()).hexdigest()[:16]
