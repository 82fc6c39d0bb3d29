"""Checks a data set as a whole: all that is wrong with it is found at once, before
anything trains on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from types import MappingProxyType

from tqdm import tqdm

from sencap.config import DecoderSettings, VocabularySettings
from sencap.data.caption_files import find_caption_files, list_captions
from sencap.data.change_flags import ADVICE_ON_FLAGS, told_by_sentences
from sencap.data.entries import SPLITS, CaptionEntry, PairProblem, all_captions
from sencap.data.levir_cc import DATE_FOLDERS, MASKS, ImageFolders
from sencap.data.masks import read_mask
from sencap.data.vocabulary import Coverage, coverage
from sencap.errors import DataError, ImageError
from sencap.images import read_image, read_pair
from sencap.images.notes import Notes
from sencap.structures import ImagePair

__all__ = ["CheckReport", "PairProblem", "check_dataset"]

_KINDS = {True: "changed", False: "unchanged", None: "unknown"}


@dataclass(frozen=True)
class CheckReport:
    """What `check_dataset` found.

    ``counts`` are of the entries that name their images: pairs per split (``train``,
    ``val``, ``test``), and in all ``pairs``, ``captions``, ``changed``, ``unchanged``,
    ``unknown`` (not known whether changed). ``coverage`` is what vocabularies of these
    captions would know, by ``minimum_count``; ``masks`` are the pairs that have a
    change mask, None where images were left alone. ``str(report)`` is the text for
    people: a line for each problem, and at last what the data set can be used for.
    """

    root: Path
    problems: tuple[PairProblem, ...]
    counts: Mapping[str, int]
    coverage: Mapping[int, Coverage]
    masks: int | None = None

    @property
    def errors(self) -> tuple[PairProblem, ...]:
        """The problems that keep the data set from being used."""
        return tuple(
            problem for problem in self.problems if problem.severity == "error"
        )

    @property
    def warnings(self) -> tuple[PairProblem, ...]:
        """The problems worth a look that keep nobody from using it."""
        return tuple(
            problem for problem in self.problems if problem.severity == "warning"
        )

    @property
    def ok(self) -> bool:
        """Whether the data set can be used: no errors."""
        return not self.errors

    @property
    def uses(self) -> str:
        """What the data set can be used for, in one line: evaluation, by its splits,
        and training, or why not."""
        if not self.ok:
            return "can be used for: nothing yet; mend the errors first"
        # Any split can be evaluated on; training needs train, and val to select the
        # best epoch.
        held = [split for split in SPLITS if self.counts[split]]
        evaluation = f"evaluation ({', '.join(held)})"
        missing = [split for split in ("train", "val") if not self.counts[split]]
        if not missing:
            return f"can be used for: training and {evaluation}"
        hint = ""
        if missing == ["val"]:
            hint = ", unless --selection-data names another data set for it"
        splits = " and ".join(repr(split) for split in missing)
        return f"can be used for: {evaluation}; not for training: no pairs of split {splits}{hint}"

    def __str__(self) -> str:
        counts = self.counts
        splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
        unknown = f", {counts['unknown']} not known" if counts["unknown"] else ""
        lines = [
            f"{problem.severity}: {problem}"
            for problem in (*self.errors, *self.warnings)
        ]
        lines.append(
            f"{self.root}: {counts['pairs']} pairs ({splits}), {counts['captions']} "
            f"captions, {counts['changed']} changed, {counts['unchanged']} "
            f"unchanged{unknown}"
        )
        if self.masks:
            lines.append(f"{self.masks} pairs have a change mask")
        for minimum_count, known in self.coverage.items():
            lines.append(f"vocabulary.minimum_count {minimum_count}: {known}")
        lines += [
            f"{len(self.errors)} errors, {len(self.warnings)} warnings",
            self.uses,
        ]
        return "\n".join(lines)


def check_dataset(
    root: str | Path,
    *,
    images: bool = True,
    no_change: Collection[str] | None = None,
    progress: bool = True,
) -> CheckReport:
    """Everything that is wrong with the data set at ``root`` (its folder, or its
    caption file).

    Errors: broken JSON (with line and column), missing keys, an unknown split, an entry
    without sentences, a sentence without words, an id or image named twice, a missing
    or unreadable image, two dates that are no pair (of other ground, other sizes,
    without common scale or data), a change mask that is none or of another size.
    Warnings: a change flag that its captions contradict, images that no entry names, no
    changed or no unchanged pair, change flags that are not known or only told from
    sentences that nobody named, captions longer than training takes, a vocabulary that
    would leave out much, and what has to be known of how images are read (put on
    another grid, no data, …), each kind once.

    ``no_change`` names the sentences with which this data set says that nothing
    changed. ``images=False`` leaves the images alone and checks captions only;
    otherwise each is decoded, with a progress bar on stderr unless ``progress`` is
    False.

    Raises:
        DataError: there is no caption file, or it is not clear which one is meant.
        SettingsError: a sentence of ``no_change`` without words.
    """
    root = Path(root)
    entries, problems = list_captions(find_caption_files(root), no_change)
    masks = None
    if images:
        folders = ImageFolders(root if root.is_dir() else root.parent)
        bar = tqdm(entries, desc="images", unit="pair", disable=not progress)
        notes = Notes()
        for entry in bar:
            problems += _check_images(folders, entry, notes)
        # Notes on how images are read come once for each kind, with how many pairs have
        # it.
        told = notes.told(of=len(entries))
        problems += [
            PairProblem(root.name or str(root), "", note, "warning") for note in told
        ]
        if entries:  # else it is the caption file that is wrong
            problems += _unnamed_images(folders, entries)
            masks = sum(folders.find(entry, MASKS) is not None for entry in entries)
    # After the pairs one by one, the data set as a whole.
    known = _coverage(entries)
    problems += _warnings(root.name or str(root), entries, known)
    return CheckReport(
        root, tuple(problems), _count(entries), MappingProxyType(known), masks
    )


def _coverage(entries: Sequence[CaptionEntry]) -> dict[int, Coverage]:
    """What the vocabulary of all captions would know of them, by minimum_count: the
    default, and 1."""
    captions = all_captions(entries)
    counts = Counter(chain.from_iterable(captions))
    if not counts:
        return {}
    found = {}
    # With 1 every word is kept, which shows how many there are in all.
    for minimum_count in (VocabularySettings().minimum_count, 1):
        kept = {word for word, count in counts.items() if count >= minimum_count}
        found[minimum_count] = coverage(captions, kept)
    return found


def _warnings(
    name: str, entries: Sequence[CaptionEntry], known: Mapping[int, Coverage]
) -> list[PairProblem]:
    """What is worth a look in the data set as a whole."""
    counts = _count(entries)
    said = []
    if counts["unknown"]:
        said.append(
            f"it is not known which pairs changed ({counts['unknown']} of "
            f"{counts['pairs']}): they have no changeflag, and no sentence is one of "
            "LEVIR-CC's or Dubai-CC's of no change. Training does without; "
            f"evaluation then has no change accuracy. {ADVICE_ON_FLAGS}"
        )
    elif entries:
        absent = [kind for kind in ("changed", "unchanged") if not counts[kind]]
        said += [f"there is no {kind} pair" for kind in absent]
    told = told_by_sentences(entries)
    if told:
        said.append(told)
    most = DecoderSettings().max_words
    longer = sum(len(words) > most for words in all_captions(entries))
    if longer:
        said.append(
            f"{longer:,} captions are longer than decoder.max_words ({most}, the "
            "default), and training cuts them"
        )
    for minimum_count, share in known.items():
        if share.is_poor:
            said.append(
                f"with vocabulary.minimum_count {minimum_count}, the default, a "
                f"captioner would know {share}; train with a smaller one"
            )
    return [PairProblem(name, "", what, "warning") for what in said]


def _check_images(
    folders: ImageFolders, entry: CaptionEntry, notes: Notes
) -> Iterator[PairProblem]:
    """What is wrong with the two images of an entry, as a pair; what has to be known of
    how they are read goes to ``notes``."""
    yield from folders.missing(entry)
    files = [
        file for date in DATE_FOLDERS if (file := folders.find(entry, date)) is not None
    ]
    # First the pair is read as training would read it. Only if that fails each image is
    # read by itself, to tell which of them is wrong.
    pair: ImagePair | None = None
    if len(files) == len(DATE_FOLDERS):
        try:
            pair = read_pair(files[0], files[1])
        except ImageError as error:
            refused = str(error)
    if pair is None:
        wrong = list(_check_files(files, entry))
        yield from wrong
        # Each image is in order by itself: they are refused as a pair only.
        if len(files) == len(DATE_FOLDERS) and not wrong:
            yield PairProblem("", entry.source, refused)
        return
    notes.add(entry.name, pair.notes)
    mask = folders.find(entry, MASKS)
    if mask is not None:
        yield from _check_mask(mask, entry, pair.images.shape[2:])


def _check_files(files: Iterable[Path], entry: CaptionEntry) -> Iterator[PairProblem]:
    """What is wrong with single images."""
    for file in files:
        try:
            read_image(file)
        except ImageError as error:
            yield PairProblem(
                str(file), entry.source, str(error).removeprefix(f"{file}: ")
            )


def _check_mask(
    path: Path, entry: CaptionEntry, shape: tuple[int, ...]
) -> Iterator[PairProblem]:
    """What is wrong with the change mask of images of this shape (H, W)."""
    try:
        mask = read_mask(path)
    except DataError as error:
        yield PairProblem(str(path), entry.source, str(error))
        return
    if mask.shape != shape:
        sizes = [f"{width}×{height}" for height, width in (mask.shape, shape)]
        what = f"the mask is {sizes[0]} pixels, and its images are {sizes[1]}"
        yield PairProblem(str(path), entry.source, what)


def _unnamed_images(
    folders: ImageFolders, entries: Iterable[CaptionEntry]
) -> list[PairProblem]:
    """A warning for each image in the folders of the data set that no entry names."""
    used = {folders.find(entry, date) for entry, date in product(entries, DATE_FOLDERS)}
    # Looked in are images/A itself, the splits, and any other folder that an entry names
    # by its filepath.
    named = {entry.folder for entry in entries}
    places = ["", *SPLITS, *sorted(named - {"", *SPLITS})]
    unnamed: dict[Path, None] = {}  # a set that keeps its order
    for place, date in product(places, DATE_FOLDERS):
        files = folders.list_images(folders.root / "images" / place / date).values()
        unnamed.update(dict.fromkeys(file for file in files if file not in used))
    return [
        PairProblem(str(file), "", "no entry names it", "warning") for file in unnamed
    ]


def _count(entries: Iterable[CaptionEntry]) -> Mapping[str, int]:
    # Every count is there, 0 where nothing is counted.
    counts = Counter(dict.fromkeys((*SPLITS, "pairs", "captions", *_KINDS.values()), 0))
    for entry in entries:
        counts.update(["pairs", _KINDS[entry.changed]])
        # An entry with an unknown split and a folder of its own is kept, and counts for
        # no split.
        counts.update({entry.split} & set(SPLITS))
        counts["captions"] += len(entry.captions)
    return MappingProxyType(dict(counts))
