"""Captioned image pairs on disk: LEVIR-CC, Dubai-CC, and any folder in the same schema.

    DATA/LevirCCcaptions.json             {"images": [{"filename", "split",
                                                       "sentences": [{"tokens"}, …]},
                                                       …]}
    DATA/images/{train,val,test}/{A,B}/   A before, B after; the folder is "filepath", or the split
    DATA/images/{A,B}/                    or one folder for all splits
    DATA/images/…/label/                  beside A and B, if there are any: change masks

The captions may also come as ``{Train,Validation,Test}_Dubai_CC.json``, or as the only
JSON file of the folder that has a list "images". "filepath", "imgid" and "sentid" (or
"image_id", "sentence_id") may be absent. An image named ``x.png`` may lie there as
``x.jpg``, or the other way round, or as TIFF or WebP.

Words are put in lower case and lose the punctuation around them
(`sencap.data.vocabulary.normalise`), which leaves LEVIR-CC's own as they are. Where
"changeflag" is absent, a pair counts as unchanged if more than half of its sentences
say so: LEVIR-CC's and Dubai-CC's known ones (`sencap.data.vocabulary.says_no_change`),
and the data set's own. These are learnt from the pairs that have a flag, or named: by
the caller, or by the file itself, beside "images" (``"no_change": ["nothing is new",
…]``). If the data set uses none of these at all, it is not known which pairs changed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import cast

from sencap.config import Split
from sencap.data.caption_files import find_caption_files, list_captions
from sencap.data.entries import SPLITS, CaptionedPair, CaptionEntry, PairProblem
from sencap.errors import DataError, SettingsError, nearest
from sencap.images import IMAGE_SUFFIXES

DATE_FOLDERS = ("A", "B")
MASKS = "label"
# Problems in one refusal; `sencap check` lists them all.
_SHOWN = 20


def read_captions(
    path: str | Path,
    *,
    splits: Collection[str] | None = None,
    no_change: Collection[str] | None = None,
) -> list[CaptionEntry]:
    """The entries of a caption file, or of those of a folder, in their order; no image
    need be there.

    ``splits`` keeps those splits only (all by default). ``no_change``: sentences with
    which the data set says that nothing changed, beside the known ones and those that
    it names itself.

    Raises:
        DataError: no caption file, several, problems in them (all at once), or no entry
            in these splits.
        SettingsError: an unknown split, a sentence without words.
    """
    path = Path(path)
    wanted = _checked_splits(splits)
    # All splits are read even if one is wanted: ids and images are checked for doubles
    # over the whole file, and sentences of no change are learnt from all of it.
    listed, problems = list_captions(find_caption_files(path), no_change)
    _refuse(path, problems)
    entries = [entry for entry in listed if entry.split in wanted]
    if not entries:
        held = ", ".join(sorted({entry.split for entry in listed}))
        raise DataError(
            f"{path} has no pair in {', '.join(sorted(wanted))}; it has pairs in {held}"
        )
    return entries


def read_dataset(
    root: str | Path,
    *,
    splits: Collection[str] | None = None,
    no_change: Collection[str] | None = None,
) -> list[CaptionedPair]:
    """The captioned pairs of a data set, in the order of its caption file.

    ``root`` is the folder (or the caption file in it), ``splits`` the splits to read
    (all by default), ``no_change`` as for `read_captions`. Images are looked for, not
    opened: ``sencap check`` does that.

    Raises:
        DataError: as `read_captions`, and images that are missing in these splits, all
            at once.
        SettingsError: as `read_captions`.
    """
    root = Path(root)
    images = ImageFolders(root if root.is_dir() else root.parent)
    pairs, problems = [], []
    for entry in read_captions(root, splits=splits, no_change=no_change):
        # Problems are collected, so that all missing images are told at once.
        before, after = (images.find(entry, date) for date in DATE_FOLDERS)
        if before is None or after is None:
            problems += images.missing(entry)
        else:
            pair = CaptionedPair(
                name=entry.name,
                split=entry.split,
                before=before,
                after=after,
                captions=entry.captions,
                changed=entry.changed,
                source=entry.source,
                mask=images.find(entry, MASKS),
                imgid=entry.imgid,
                flagged=entry.flagged,
                no_change=entry.no_change,
            )
            pairs.append(pair)
    _refuse(root, problems)
    return pairs


class ImageFolders:
    """Finds the images of entries below ``root``; each folder is listed once, so that
    it is quick."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[Path, dict[str, Path]] = {}

    def find(self, entry: CaptionEntry, date: str) -> Path | None:
        """The image of ``entry`` at ``date`` ("A" before, "B" after), or its mask
        ("label")."""
        stem = PurePosixPath(entry.name).stem
        # Copies of a data set are often converted: the caption file says x.png, and the
        # folder has x.jpg. The exact name comes first.
        names = [entry.name, *(stem + suffix for suffix in IMAGE_SUFFIXES)]
        for folder in self.folders(entry, date):
            images = self.list_images(folder)
            for name in names:
                if name in images:
                    return images[name]
        return None

    def folders(self, entry: CaptionEntry, date: str) -> list[Path]:
        """Where the images of ``entry`` may lie, the likeliest first."""
        # A dict instead of a set: no folder twice, and the order kept.
        below = dict.fromkeys((entry.folder or entry.split, entry.split, "."))
        return [self.root / "images" / folder / date for folder in below]

    def list_images(self, folder: Path) -> dict[str, Path]:
        """The images of a folder by name, and by name with the suffix in lower case; {}
        without a folder."""
        if folder not in self._listed:
            files = sorted(folder.iterdir()) if folder.is_dir() else []
            images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
            # X.PNG is found as X.png too; a file that has just that name goes before
            # it.
            lower = {file.stem + file.suffix.lower(): file for file in images}
            self._listed[folder] = lower | {file.name: file for file in images}
        return self._listed[folder]

    def missing(self, entry: CaptionEntry) -> list[PairProblem]:
        """A problem for each of the two images that `find` does not find."""
        file, place = entry.source.rsplit(": ", 1)
        problems = []
        for date in DATE_FOLDERS:
            if self.find(entry, date) is None:
                tried = " and ".join(
                    str(folder) for folder in self.folders(entry, date)
                )
                problems.append(
                    PairProblem(
                        file, place, f"image {date} is missing: looked in {tried}"
                    )
                )
        return problems


def splits_named(text: str) -> list[Split]:
    """The splits that a flag names, joined by plus signs.

    >>> splits_named("val+test")
    ['val', 'test']

    Raises:
        SettingsError: an unknown one.
    """
    found: list[Split] = []
    for name in text.split("+"):
        if name not in SPLITS:
            raise SettingsError(f"split={text}: {name!r} is none of train, val, test")
        found.append(cast("Split", name))
    return found


def _checked_splits(splits: Collection[str] | None) -> set[str]:
    """The splits asked for as a set, or SettingsError for one that does not exist."""
    wanted = (
        {splits}
        if isinstance(splits, str)
        else set(SPLITS if splits is None else splits)
    )
    for split in sorted(wanted - set(SPLITS)):
        raise SettingsError(f"unknown split {split!r}: {nearest(split, SPLITS)}")
    return wanted


def _refuse(path: Path, problems: list[PairProblem]) -> None:
    """DataError with the first problems and their number, if one of them is an
    error."""
    if not (errors := [problem for problem in problems if problem.severity == "error"]):
        return
    lines = [f"{path} has {len(errors)} problem{'s' * (len(errors) > 1)}:"]
    lines += [f"  {problem}" for problem in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"  … and {len(errors) - _SHOWN} more")
    raise DataError("\n".join([*lines, f"`sencap check {path}` lists them all."]))
