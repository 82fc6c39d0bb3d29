"""What a worker does: it holds the model, takes a block's number, and writes that
block's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sencap.archive.folder import Folder
from sencap.archive.settings import ArchiveSettings
from sencap.errors import SencapError
from sencap.listed import caption_list
from sencap.predictor import Predictor, load


class BlockCaptioner:
    """Captions blocks of a folder; made in the process that works, of plain values.

    The model is loaded with the first block, from the weights' path, once in a process:
    what is sent over to it is that path.
    """

    def __init__(self, folder: Path, settings: ArchiveSettings, threads: int) -> None:
        self._folder, self._settings, self._threads = Folder(folder), settings, threads
        self._predictor: Predictor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Caption the blocks that ``batch["block"]`` numbers.

        What the user can mend comes back as a text, ``problem``: an error would be
        wrapped by Ray, with its place in Ray's own code.
        """
        blocks = [int(block) for block in batch["block"]]
        told = [self._done(block) for block in blocks]
        return {
            "block": blocks,
            "pairs": [pairs for pairs, _ in told],
            "problem": [problem for _, problem in told],
        }

    def _done(self, block: int) -> tuple[int, str]:
        """How many pairs a block had, and what went wrong ("": nothing)."""
        try:
            return self._caption(block), ""
        except SencapError as error:
            return 0, str(error)

    def _caption(self, block: int) -> int:
        settings = self._settings
        if self._predictor is None:
            self._predictor = load(
                settings.weights,
                beam=settings.beam,
                device="cpu",
                engine="onnx",
                precision=settings.precision,
                decision=settings.decision,
                threads=self._threads,
            )
        pairs = self._folder.pairs(block)
        rows = caption_list(
            self._predictor,
            pairs,
            batch_size=settings.batch_size,
            reading=settings.reading,
        )
        self._folder.write_block(block, list(rows))
        return len(pairs)
