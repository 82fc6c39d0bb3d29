"""Checks a data set as a whole: all that is wrong with it is found at once, before anything trains on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tqdm import tqdm

from sencap.data.levir_cc import (
    DATES,
    SPLITS,
    CaptionEntry,
    ImageFolders,
    Problem,
    find_caption_files,
    list_captions,
)
from sencap.errors import ImageError
from sencap.images import read_image

__all__ = ["CheckReport", "Problem", "check_dataset"]


@dataclass(frozen=True)
class CheckReport:
    """What `check_dataset` found.

    ``counts`` are of the entries that name their images: pairs per split (``train``, ``val``, ``test``), and
    in all ``pairs``, ``captions``, ``changed``, ``unchanged``. ``str(report)`` is the text for people, a line
    for each problem.
    """

    root: Path
    problems: tuple[Problem, ...]
    counts: Mapping[str, int]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the data set from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems worth a look that keep nobody from using it."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether the data set can be used: no errors."""
        return not self.errors

    def __str__(self) -> str:
        counts = self.counts
        splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
        lines = [f"{problem.severity}: {problem}" for problem in (*self.errors, *self.warnings)]
        lines += [
            f"{self.root}: {counts['pairs']} pairs ({splits}), {counts['captions']} captions, "
            f"{counts['changed']} changed, {counts['unchanged']} unchanged",
            f"{len(self.errors)} errors, {len(self.warnings)} warnings",
        ]
        return "\n".join(lines)


def check_dataset(root: str | Path, *, images: bool = True, progress: bool = True) -> CheckReport:
    """Everything that is wrong with the data set at ``root`` (its folder, or its caption file).

    Errors: broken JSON (with line and column), missing keys, an unknown split, an entry without sentences, a
    sentence without words, an id or image named twice, a missing or unreadable image, two dates of different
    sizes or depths. Warnings: a change flag that its captions contradict, images that no entry names.

    ``images=False`` leaves the images alone and checks captions only; otherwise each is decoded, with a
    progress bar on stderr unless ``progress`` is False.

    Raises:
        DataError: there is no caption file, or it is not clear which one is meant.
    """
    root = Path(root)
    entries, problems = list_captions(find_caption_files(root))
    if images:
        folders = ImageFolders(root if root.is_dir() else root.parent)
        bar = tqdm(entries, desc="images", unit="pair", disable=not progress)
        problems += [problem for entry in bar for problem in _check_images(folders, entry)]
        problems += _unnamed_images(folders, entries)
    return CheckReport(root, tuple(problems), _count(entries))


def _check_images(folders: ImageFolders, entry: CaptionEntry) -> Iterator[Problem]:
    """What is wrong with the two images of an entry."""
    yield from folders.missing(entry)
    read = []
    for date in DATES:
        file = folders.find(entry, date)
        if file is None:
            continue
        try:
            read.append((file, read_image(file)))
        except ImageError as error:
            yield Problem(str(file), entry.source, str(error).removeprefix(f"{file}: "))
    if len(read) < len(DATES):
        return
    (before, first), (after, second) = read
    if first.shape != second.shape:
        sizes = [f"{image.shape[2]}×{image.shape[1]}" for image in (first, second)]
        yield Problem(str(after), entry.source, f"it is {sizes[1]} pixels, but {before} is {sizes[0]}")
    if first.dtype != second.dtype:
        yield Problem(str(after), entry.source, f"it is {second.dtype}, but {before} is {first.dtype}")


def _unnamed_images(folders: ImageFolders, entries: Iterable[CaptionEntry]) -> list[Problem]:
    """A warning for each image in the folders of the data set that no entry names."""
    used = {folders.find(entry, date) for entry in entries for date in DATES}
    places = ["", *SPLITS, *sorted({entry.folder for entry in entries} - {"", *SPLITS})]
    searched = [folders.root / "images" / place / date for place in places for date in DATES]
    listed = dict.fromkeys(file for folder in searched for file in folders.list_images(folder).values())
    return [Problem(str(file), "", "no entry names it", "warning") for file in listed if file not in used]


def _count(entries: Iterable[CaptionEntry]) -> Mapping[str, int]:
    counts = Counter(dict.fromkeys((*SPLITS, "pairs", "captions", "changed", "unchanged"), 0))
    for entry in entries:
        counts.update(["pairs", "changed" if entry.changed else "unchanged"])
        counts.update({entry.split} & set(SPLITS))
        counts["captions"] += len(entry.captions)
    return MappingProxyType(dict(counts))
