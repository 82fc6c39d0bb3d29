"""Change masks: per pixel, what kind of thing came or went between the two dates.

A mask is a picture of the pair's size, in the folder ``label`` beside A and B, as
LEVIR-CD and LEVIR-MCI have it: 0 where nothing changed, 255 where a building did, 128
where a road did. One of two values alone (0 and 1, or 0 and 255) tells of buildings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sencap.data.entries import CaptionedPair
from sencap.data.levir_cc import DATE_FOLDERS, MASKS
from sencap.errors import DataError, ImageError
from sencap.images import IMAGE_SUFFIXES, read_image

# Grey values of LEVIR-MCI's masks.
NOTHING, ROAD, BUILDING = 0, 128, 255

ChangeMask = NDArray[np.uint8]


def read_mask(path: str | Path) -> ChangeMask:
    """A change mask (H, W) of `NOTHING`, `ROAD` and `BUILDING`.

    Raises:
        DataError: it is no picture, or holds other values than the head of this module
            names.
    """
    try:
        picture = read_image(path)
    except ImageError as error:
        raise DataError(f"the change mask {error}") from error
    # (3, H, W) → (H, W): pictures are read as RGB, and a grey one has three equal
    # channels.
    mask = picture[0]
    values = np.unique(mask).tolist()
    is_grey = (picture == mask).all()
    if (
        not is_grey
        or not set(values) <= {NOTHING, 1, ROAD, BUILDING}
        # 1 and 255 both mean a building, in different data sets; in one mask they
        # cannot be right.
        or {1, BUILDING} <= set(values)
    ):
        shown = ", ".join(str(value) for value in values[:6]) if is_grey else "colours"
        raise DataError(
            f"the change mask {path} holds {shown}; a mask holds {NOTHING} (no "
            f"change), {ROAD} (road) and {BUILDING} (building), or 0 and 1"
        )
    return np.where(mask == 1, BUILDING, mask).astype(np.uint8)


def has_masks_only(folder: Path) -> bool:
    """Whether a folder is a change-detection data set: A, B and label, and no caption
    file."""
    return all((folder / name).is_dir() for name in (*DATE_FOLDERS, MASKS)) and not any(
        folder.glob("*.json")
    )


def read_masked_pairs(folder: Path) -> list[CaptionedPair]:
    """The pairs of a change-detection data set: no captions, of the split ``train``,
    each masked.

    A pair counts as changed if its mask is not empty. The three files of a pair have
    one name, the suffix aside.

    Raises:
        DataError: no pair, a file that is missing, or a mask that is none; the first
            one is told.
    """
    # The names in A say which pairs there are; B and label must have each of them.
    listed = {name: _by_stem(folder / name) for name in (*DATE_FOLDERS, MASKS)}
    before, after, masks = listed.values()
    if not before:
        raise DataError(f"{folder} has no images in A")
    pairs = []
    for stem, path in before.items():
        for name, files in listed.items():
            if stem not in files:
                raise DataError(
                    f"{folder / name} has no {stem}, of which A has an image"
                )
        changed = bool(read_mask(masks[stem]).any())
        source = f"{folder.name}: {path.name}"
        pair = CaptionedPair(
            path.name, "train", path, after[stem], (), changed, source, masks[stem]
        )
        pairs.append(pair)
    return pairs


def _by_stem(folder: Path) -> dict[str, Path]:
    files = sorted(folder.iterdir())
    return {file.stem: file for file in files if file.suffix.lower() in IMAGE_SUFFIXES}


def resize_mask(mask: ChangeMask, size: int) -> ChangeMask:
    """The mask (size, size): each pixel takes the value at its centre, so that no new
    one comes."""
    # Row i of the result is taken at (i + 0.5) · H / size. Averaging would make values
    # such as 191, which mean nothing.
    rows, columns = (
        ((np.arange(size) + 0.5) * side / size).astype(int) for side in mask.shape
    )
    return mask[np.ix_(rows, columns)]
