"""One door to all sources of dated images: `open_places` tells by its content what a
path holds."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from sencap.bounds import check_numbers
from sencap.errors import DataError, SettingsError, nearest
from sencap.files import not_a_file
from sencap.images import holds_pairs
from sencap.json_files import shown
from sencap.places.contract import Places
from sencap.places.folders import FolderPlaces, PairPlaces, dated, list_images
from sencap.places.packed import INDEX, NOTE, PackedPlaces
from sencap.places.reading import Scaling
from sencap.places.series import SeriesPlaces
from sencap.places.shards import SUFFIX, ShardPlaces
from sencap.places.ssl4eo import PRODUCTS, SceneFolderPlaces, holds_scenes
from sencap.places.synthetic import SyntheticPlaces

_Kind = Literal[
    "auto",
    "packed",
    "ssl4eo-v1.0",
    "ssl4eo-v1.1",
    "folder",
    "series",
    "pairs",
    "synthetic",
]

# What each kind looks like on disk, for the message when none is found.
_LOOKED_FOR = {
    "packed": "index.json of a packed folder",
    "ssl4eo-v1.1": "{train,val}/{S2RGB,S2L2A,S2L1C}/*.zarr.zip",
    "ssl4eo-v1.0": "{s2c,s2a,rgb}/<place>/<date>T…/B4.tif",
    "series": "two dated rasters, like 2020-06-04.tif",
    "folder": "<place>/2020-06-04.tif, two or more",
    "pairs": "folders A and B, before and after, T1 and T2, 2018 and 2019 …, or a CSV file",
}
# The reader of each kind, and the settings that it takes.
_TAKES: dict[str, tuple[Callable[..., Places], tuple[str, ...]]] = {
    "packed": (PackedPlaces, ()),
    "ssl4eo-v1.0": (SceneFolderPlaces, ("product", "scaling")),
    "ssl4eo-v1.1": (ShardPlaces, ("product", "split", "scaling")),
    "folder": (FolderPlaces, ("scaling",)),
    "pairs": (PairPlaces, ("scaling",)),
    "series": (SeriesPlaces, ("size", "stride", "dates", "bands", "empty", "scaling")),
    "synthetic": (SyntheticPlaces, ("size",)),
}
# Folders that are looked into; a data set may have a quarter of a million.
_TRIES = 20


def open_places(
    path: str | Path,
    *,
    kind: str = "auto",
    product: str | None = None,
    split: str | None = None,
    size: int | None = None,
    stride: int | None = None,
    dates: Collection[datetime.date] | None = None,
    bands: Sequence[int] | None = None,
    empty: float | None = None,
    scaling: Scaling | None = None,
) -> Places:
    """Dated images of places, whatever layout they have on disk.

    ``path`` is a folder or file, or ``synthetic:COUNT`` or ``synthetic:COUNT:SEED`` for
    the synthetic world. With ``kind`` auto the layout is told by the content. The other
    settings are the reader's own, None its default; ``product`` and ``split`` are
    SSL4EO-S12's; ``stride``, ``dates``, ``bands`` and ``empty`` are the series';
    ``size`` is the side in pixels of what has none of its own, the cells of a series
    and synthetic images.

    Raises:
        DataError: the content is of no known kind (the message names what was looked
            for), or the reader's own.
        SettingsError: an unknown kind, or a setting that the kind does not take.
        MissingDependencyError: the reader needs an extra that is not installed.
    """
    if kind not in get_args(_Kind):
        raise SettingsError(
            f"kind={kind!r} is unknown; {nearest(kind, get_args(_Kind))}"
        )
    check_numbers(size=size, stride=stride)
    found = recognise_places(path) if kind == "auto" else kind
    reader, takes = _TAKES[found]
    given: dict[str, Any] = {
        "product": product, "split": split, "size": size, "stride": stride, "dates": dates,
        "bands": bands, "empty": empty, "scaling": scaling,
    }  # fmt: skip
    # A setting that a kind does not take would be left out in silence: it is refused.
    given = {name: value for name, value in given.items() if value is not None}
    if refused := [name for name in given if name not in takes]:
        raise SettingsError(
            f"{path} is of kind {found}, which takes no {', '.join(refused)} (only "
            f"{', '.join(takes) or 'nothing'})"
        )
    if found == "synthetic":
        count, seed = _synthetic(str(path))
        return SyntheticPlaces(count, seed=seed, **given)
    return reader(path, **given)


def recognise_places(path: str | Path) -> str:
    """The kind of places that a path holds, one of `_Kind`, told by its content.

    Raises:
        DataError: none of them; the message names what was looked for.
    """
    if str(path).startswith("synthetic:"):
        return "synthetic"
    root = Path(path)
    if not root.exists():
        reason = not_a_file(root)
        raise DataError(
            f"{root}: {reason}; give a folder of dated images, or synthetic:COUNT"
        )
    # Of files only the ending tells; folders are looked into.
    if root.is_file():
        if root.name.endswith(SUFFIX):
            return "ssl4eo-v1.1"
        if root.suffix.lower() == ".csv":
            return "pairs"
        raise DataError(
            f"{root} is a file, but neither an archive {SUFFIX} nor a CSV file of pairs"
        )
    if not root.is_dir():
        raise DataError(
            f"{root} is neither a folder nor a file: give a folder of dated images"
        )
    # In the order of _TESTS: sure signs, such as an index, come before looser ones,
    # such as two dated files.
    for kind, test in _TESTS.items():
        if test(root):
            return kind
    looked = "".join(f"\n  {kind}: {what}" for kind, what in _LOOKED_FOR.items())
    raise DataError(
        f"{root} holds no dated images of a known layout; looked for{looked}"
    )


def _synthetic(path: str) -> tuple[int, int]:
    # no more digits than any count or seed that is taken has: Python refuses to read
    # thousands
    match = re.fullmatch(r"synthetic:([0-9]{1,20})(?::([0-9]{1,20}))?", path)
    if match is None:
        raise SettingsError(
            f"{shown(path)} must be synthetic:COUNT or synthetic:COUNT:SEED, as in "
            "synthetic:1000:7"
        )
    return int(match[1]), int(match[2] or 0)


def _is_packed(root: Path) -> bool:
    return (root / INDEX).is_file() or (root / NOTE).is_file()


def _has_archives(root: Path) -> bool:
    # The root may be the data set's folder, a split's, or a product's.
    return any(any(root.glob(pattern + "*" + SUFFIX)) for pattern in ("", "*/", "*/*/"))


def _has_scenes(root: Path) -> bool:
    return holds_scenes(root) or any(
        holds_scenes(root / product) for product in PRODUCTS
    )


def _has_dated(folder: Path) -> bool:
    return len(dated(folder, list_images(folder))[0]) >= 2


def _has_dated_folders(root: Path) -> bool:
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir())[:_TRIES]
    return any(_has_dated(folder) for folder in folders)


_TESTS: dict[str, Callable[[Path], bool]] = {
    "packed": _is_packed,
    "ssl4eo-v1.1": _has_archives,
    "ssl4eo-v1.0": _has_scenes,
    "series": _has_dated,
    "folder": _has_dated_folders,
    "pairs": holds_pairs,
}
