"""Features of a frozen extractor, computed once for all epochs and all runs.

A frozen backbone gives the same maps of an image in every epoch. They are computed for
the eight placements of each pair (flips and quarter turns,
`sencap.data.augmentation.PLACEMENTS`) and kept in a file that is mapped into memory; an
epoch then costs what the trained parts cost.

The folder of the file is named by its content: the backbone's weights, what it makes of
the images, and the bytes of the image files. So a folder of features may be shared by
runs, and none is ever used for other images or other weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from sencap.config import TrainingSettings
from sencap.data.augmentation import PLACEMENTS, Placement
from sencap.data.entries import CaptionedPair
from sencap.data.reading import read_images
from sencap.environment import device_type
from sencap.errors import OutputError, SettingsError
from sencap.files import cannot_write, write_whole
from sencap.models.captioner import Captioner

MAPS, DONE, LOCK = "maps.npy", "done.json", "lock"
# Pairs between two notes of how far it got: a stopped computation loses at most these.
SAVE_EVERY = 20


class FeatureStore:
    """The maps (pairs, 8, S, C, h, w) float32 of all pairs of a run, in a file.

    Missing ones are computed when the store is made; a computation that was stopped
    goes on. Of several runs that ask for the same features at once, one computes them
    and the others wait.

    Raises:
        SettingsError: the extractor is not frozen, or its images are not square.
        OutputError: the folder cannot be written to, or the disk is full.
    """

    def __init__(
        self,
        folder: str | Path,
        captioner: Captioner,
        pairs: Sequence[CaptionedPair],
        *,
        size: int,
        progress: bool = True,
    ) -> None:
        extractor: Any = captioner.extractor
        if not extractor.is_frozen:
            raise SettingsError(
                "loading.features keeps the features of a frozen extractor, and this "
                "one is trained; say extractor.fine_tune_from=none and "
                "extractor.frozen_statistics=fixed, or leave loading.features out"
            )
        self._rows = {_key(pair): row for row, pair in enumerate(pairs)}
        self.folder = Path(folder) / _digest(captioner, pairs, size)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Two runs with the same backbone and data would write to the same file.
            with FileLock(self.folder / LOCK):
                self._maps = self._open(captioner, pairs, size, progress=progress)
        except OSError as error:
            raise OutputError(cannot_write(self.folder, error)) from error

    def maps(self, pair: CaptionedPair, placement: Placement) -> NDArray[np.float32]:
        """The backbone's maps (S, C, h, w) of a pair laid so."""
        # A copy: the file is mapped into memory, and a batch must not be a view of it.
        found: NDArray[np.float32] = np.array(
            self._maps[self._rows[_key(pair)], placement.number]
        )
        return found

    def _open(
        self,
        captioner: Captioner,
        pairs: Sequence[CaptionedPair],
        size: int,
        *,
        progress: bool,
    ) -> NDArray[np.float32]:
        path, done_path = self.folder / MAPS, self.folder / DONE
        # (pairs, 8, S, C, h, w), known before anything is computed, so that the file
        # has its full size from the start.
        shape = (len(pairs), len(PLACEMENTS), *_shape(captioner, size))
        try:
            done = int(json.loads(done_path.read_text(encoding="utf-8")))
            # For reading: opened for writing, a file that was cut off would be filled
            # up with zeros.
            is_whole = np.lib.format.open_memmap(path, "r").shape == shape
        except (FileNotFoundError, ValueError, TypeError):
            is_whole = False
        if is_whole:
            maps = np.lib.format.open_memmap(path, "r+")
        else:
            # Nothing is there yet, or it is damaged.
            done = 0
            maps = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        # The rows before ``done`` are on the disk from the last time.
        waiting = range(done, len(pairs))
        bar = tqdm(
            waiting,
            "features",
            len(pairs),
            initial=done,
            unit="pair",
            disable=not progress,
        )
        for row in bar:
            maps[row] = _maps_of(captioner, pairs[row], size)
            if (row + 1) % SAVE_EVERY == 0 or row + 1 == len(pairs):
                # The maps before the note: a note of rows that are not yet on the disk
                # would be untrue after a crash.
                maps.flush()
                write_whole(done_path, json.dumps(row + 1))
        return maps


def _key(pair: CaptionedPair) -> tuple[str, str]:
    return str(pair.before), str(pair.after)


@torch.inference_mode()
def _maps_of(
    captioner: Captioner, pair: CaptionedPair, size: int
) -> NDArray[np.float32]:
    """Of all placements of a pair, (8, S, C, h, w)."""
    extractor: Any = captioner.extractor
    images = read_images(pair, size).images
    # (2, 3, H, W) → (8, 2, 3, H, W): the maps of a turned image are not the turned maps
    # of the image, so each placement goes through the backbone.
    placed = np.stack([placement.place(images) for placement in PLACEMENTS])
    pixels = torch.from_numpy(placed).to(captioner.mean.device)
    was_training = captioner.training
    extractor.eval()
    maps = extractor.maps(captioner.normalise(pixels))
    extractor.train(was_training)
    found: NDArray[np.float32] = maps.float().cpu().numpy()
    # (8·S, C, h, w) → (8, S, C, h, w).
    return found.reshape(len(PLACEMENTS), -1, *found.shape[1:])


def _shape(captioner: Captioner, size: int) -> tuple[int, ...]:
    """(S, C, h, w) of one pair."""
    extractor: Any = captioner.extractor
    empty = torch.zeros(1, 2, 3, size, size, device=captioner.mean.device)
    with torch.inference_mode():
        return tuple(extractor.maps(empty).shape)


def _digest(captioner: Captioner, pairs: Sequence[CaptionedPair], size: int) -> str:
    """A name for the features: equal if and only if what they are computed from is
    equal."""
    digest = hashlib.sha256()
    extractor: Any = captioner.extractor
    settings = [
        size,
        captioner.mean.tolist(),
        captioner.std.tolist(),
        extractor.structure,
    ]
    # Settings by which the same weights give other maps.
    digest.update(json.dumps([*settings, extractor.stage, extractor.pyramid]).encode())
    for name, tensor in extractor.backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    # Contents and order of the images, not their names: a data folder may move.
    for pair in pairs:
        for path in (pair.before, pair.after):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def open_features(
    captioner: Captioner, pairs: Sequence[CaptionedPair], settings: TrainingSettings
) -> FeatureStore | None:
    """The store that the settings ask for, None if they ask for none.

    Raises:
        SettingsError: as `FeatureStore`, or several devices, of which each would
            compute its own, or a single stream whose dates change places.
    """
    if settings.loading.features is None:
        return None
    if settings.hardware.devices * settings.hardware.nodes > 1:
        raise SettingsError(
            "loading.features is computed and read by one process; say "
            "hardware.devices=1 and hardware.nodes=1, or leave it out"
        )
    loading = settings.loading
    moves_dates = loading.same or loading.swap or loading.reverse
    extractor: Any = captioner.extractor
    if moves_dates and extractor.dates == 1:
        raise SettingsError(
            "loading.features keeps one map of both dates for extractor.structure="
            f"{extractor.structure}, which cannot follow loading.same, loading.swap "
            "or loading.reverse; leave one of them out"
        )
    device = captioner.mean.device
    captioner.to(device_type(settings.hardware.accelerator))
    store = FeatureStore(
        settings.loading.features,
        captioner,
        pairs,
        size=settings.size,
        progress=settings.progress,
    )
    # Back to where the trainer expects it.
    captioner.to(device)
    return store
