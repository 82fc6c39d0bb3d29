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

import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeGuard, cast

from sencap.bounds import BOUNDS
from sencap.config import Split
from sencap.data.vocabulary import (
    CONTROL,
    is_word,
    learn_no_change,
    normalise,
    says_no_change,
)
from sencap.errors import DataError, SettingsError, nearest
from sencap.files import not_a_file
from sencap.images import IMAGE_SUFFIXES
from sencap.json_files import NotJsonError, parse_json, shown

SPLITS = ("train", "val", "test")
DATE_FOLDERS = ("A", "B")
MASKS = "label"
CAPTION_FILE = "LevirCCcaptions.json"
MOST_WORDS = BOUNDS["max_words"].most
LONGEST_NAME = 255
"""Bytes of a file's name, or of a folder's path below ``images``; file systems take no
longer name."""
# Problems in one refusal; `sencap check` lists them all.
_SHOWN = 20
ADVICE_ON_FLAGS = (
    "Add changeflag (0 or 1) to each entry, or name the data set's own sentences of "
    "no change: --no-change, or a list no_change beside images in the caption file"
)
_IMPORT = (
    "Captions of another layout (CSV, COCO, Hugging Face) are brought into this one "
    "by `sencap import SOURCE OUT`"
)
# On Windows a backslash parts folders and a colon follows a drive, so that a name with
# one may lead elsewhere.
_NOT_IN_NAMES = re.compile(rf"[\\:{CONTROL}]")


@dataclass(frozen=True)
class PairProblem:
    """One thing wrong with a data set: in which file, at which entry ("" for the whole
    file), and what.

    An "error" keeps the data set from being used; a "warning" does not.
    """

    file: str
    entry: str
    what: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.entry, self.what) if part)


@dataclass(frozen=True)
class CaptionEntry:
    """The captions of one pair as a caption file lists them, its images unseen.

    ``name`` is the file name of both images, ``folder`` their "filepath" below
    ``images`` ("" if not given), ``changed`` its change flag, None where that is not
    known, ``source`` the caption file and the entry's place in it. ``imgid`` is its
    number there ("" if it has none), ``flagged`` whether the file itself says if it
    changed, ``no_change`` the data set's own sentences of no change.
    """

    name: str
    split: str
    folder: str
    captions: tuple[tuple[str, ...], ...]
    changed: bool | None
    source: str
    imgid: str = ""
    flagged: bool = True
    no_change: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class CaptionedPair:
    """Two images of one place on disk, and the sentences (tuples of words) that say
    what changed.

    ``before`` and ``after`` are files that exist, ``mask`` is the file of the change
    mask (`sencap.data.masks`), None without one; all else as in `CaptionEntry`.
    """

    name: str
    split: str
    before: Path
    after: Path
    captions: tuple[tuple[str, ...], ...]
    changed: bool | None
    source: str
    mask: Path | None = None
    imgid: str = ""
    flagged: bool = True
    no_change: tuple[str, ...] = field(default=(), repr=False)


def all_captions(
    entries: Iterable[CaptionEntry | CaptionedPair],
) -> list[tuple[str, ...]]:
    """The captions of all entries, one after the other."""
    captions: list[tuple[str, ...]] = []
    for entry in entries:
        captions += entry.captions
    return captions


def told_by_sentences(entries: Sequence[CaptionEntry | CaptionedPair]) -> str:
    """What a reader of change figures has to know where flags were told from LEVIR-CC's
    and Dubai-CC's English sentences alone; "" where none was."""
    # Pairs whose flag was told from their sentences and stands in no file.
    told = [
        entry for entry in entries if not entry.flagged and entry.changed is not None
    ]
    if not told or any(entry.no_change for entry in entries):
        return ""
    return (
        f"whether a pair changed is told from its sentences for {len(told):,} of "
        f"{len(entries):,} pairs, which have no changeflag: most of those of an "
        "unchanged one are LEVIR-CC's or Dubai-CC's of no change, and any other "
        f"wording counts as a change. {ADVICE_ON_FLAGS}"
    )


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


def find_caption_files(path: Path) -> list[Path]:
    """The caption files that ``path`` means: itself, or those of the folder (see the
    head of this module).

    Raises:
        DataError: there is none, or several that do not belong together.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        reason = not_a_file(path)
        raise DataError(
            f"{path}: {reason}; give the data set's folder or its caption file"
        )
    # LEVIR-CC's own name decides at once, whatever other JSON files lie beside it.
    if (path / CAPTION_FILE).is_file():
        return [path / CAPTION_FILE]
    files = sorted(path.glob("*.json"))
    if len(files) > 1:
        files = [file for file in files if _lists_images(file)]
    if not files:
        wanted = f'{CAPTION_FILE}, or a JSON file with a list "images"'
        raise DataError(
            f"{path} has no caption file ({wanted}). Give the folder that holds it. "
            f"{_IMPORT}"
        )
    # Dubai-CC has one file for each split, and they belong together. Of other files it
    # is not known whether they do.
    if len(files) > 1 and not all(file.stem.endswith("_Dubai_CC") for file in files):
        raise DataError(
            f"{path} has several caption files: give one of "
            f"{[file.name for file in files]}"
        )
    return files


def list_captions(
    files: Sequence[Path], no_change: Collection[str] | None = None
) -> tuple[list[CaptionEntry], list[PairProblem]]:
    """The entries of caption files that name their images, whatever else is wrong, and
    all that is wrong.

    Ids must be unique in a file, images in a folder over all files. Change flags that
    are missing are told from the sentences, where the data set has known ones of no
    change. ``no_change`` as for `read_captions`.

    Raises:
        SettingsError: a sentence of ``no_change`` without words.
    """
    entries: list[CaptionEntry] = []
    problems: list[PairProblem] = []
    named = _checked_sentences(no_change)
    places: dict[tuple[str, str], str] = {}
    for file in files:
        try:
            content = _load_content(file)
            named += _named_sentences(content)
        except DataError as error:
            problems.append(PairProblem(file.name, "", str(error)))
            continue
        # Ids are numbered anew in each file, so doubles are looked for file by file.
        ids: dict[tuple[str, int | str], str] = {}
        for number, image in enumerate(content["images"]):
            reader = _EntryReader(file.name, f"images[{number}]")
            entry = reader.read(image, ids)
            if entry is not None:
                # Names are compared without their endings, as `ImageFolders.find` would
                # take x.jpg for x.png.
                key = (entry.folder or entry.split, PurePosixPath(entry.name).stem)
                if key in places:
                    reader.note(
                        f"there is an image {key[1]} in {key[0]} already, at "
                        f"{places[key]}"
                    )
                # The entry is kept although it is a double: what else is wrong with it
                # is told too.
                places.setdefault(key, entry.source)
                entries.append(entry)
            problems += reader.problems
    # Only now: the sentences of no change are learnt from the entries of all files.
    entries, warnings = _with_flags(entries, named)
    return entries, problems + warnings


def _checked_sentences(sentences: Collection[str] | None) -> list[str]:
    """Sentences as captions are compared: in lower case, without punctuation.

    Raises:
        SettingsError: one without words.
    """
    if isinstance(sentences, str):
        sentences = [sentences]
    found = []
    for sentence in sentences or ():
        words = normalise(sentence.split()) if isinstance(sentence, str) else ()
        if not words:
            raise SettingsError(
                f"no_change: {shown(sentence)} is no sentence; give words"
            )
        found.append(" ".join(words))
    return found


def _named_sentences(content: dict[str, Any]) -> list[str]:
    """The sentences of no change that a caption file names itself."""
    named = content.get("no_change", [])
    if not isinstance(named, list):
        raise DataError(f"no_change is {shown(named)}, not a list of sentences")
    try:
        return _checked_sentences(named)
    except SettingsError as error:
        raise DataError(str(error)) from error


def _with_flags(
    entries: list[CaptionEntry], named: Sequence[str]
) -> tuple[list[CaptionEntry], list[PairProblem]]:
    """The entries with missing change flags told from their sentences, and a warning
    for each flag against these; ``named``: sentences of no change that were named.

    A flag stays missing (None) if no sentence of the data set is known to be one of no
    change.
    """
    captions = [entry.captions for entry in entries]
    learnt = learn_no_change(captions, [entry.changed for entry in entries])
    own = tuple(dict.fromkeys([*named, *learnt]))
    counts = []
    for sentences in captions:
        counts.append(sum(says_no_change(words, own) for words in sentences))
    # Without one known sentence of no change in all the data, a pair without such a
    # sentence shows nothing: the data set may have another wording or language.
    known = any(counts)
    flagged = []
    for entry, count in zip(entries, counts, strict=True):
        changed = entry.changed
        if changed is None and known:
            # A pair is unchanged if more than half of its sentences say so; a tie
            # counts as changed.
            changed = 2 * count <= len(entry.captions)
        is_given = entry.changed is not None
        flagged.append(replace(entry, changed=changed, flagged=is_given, no_change=own))
    return flagged, _flags_against_sentences(entries, counts)


def _flags_against_sentences(
    entries: Sequence[CaptionEntry], counts: Sequence[int]
) -> list[PairProblem]:
    """A warning for each flag that most sentences contradict; counts: each entry's
    sentences of no change.

    Where the unchanged pairs have ways of their own to say so, a sentence tells of a
    change only if it is said of changed pairs too.
    """
    unchanged = all_captions(entry for entry in entries if entry.changed is False)
    # Whether the unchanged pairs are told in LEVIR-CC's sentences, so that any other
    # sentence tells a change.
    usual = any(says_no_change(words) for words in unchanged)
    of_changed = set(all_captions(entry for entry in entries if entry.changed))
    problems = []
    for entry, count in zip(entries, counts, strict=True):
        half = len(entry.captions) / 2
        # How many sentences tell of a change: in the usual wording all that do not tell
        # of none.
        change = len(entry.captions) - count
        if not usual:
            change = sum(words in of_changed for words in entry.captions)
        # Either direction of contradiction is a warning only: the flag is the file's
        # word, and stays.
        if entry.changed and count > half:
            says = "no change"
        elif entry.changed is False and change >= half > 0:
            says = "a change"
        else:
            continue
        file, place = entry.source.rsplit(": ", 1)
        what = f"changeflag is {int(entry.changed)}, but most of its sentences tell of {says}"
        problems.append(PairProblem(file, place, what, "warning"))
    return problems


class _EntryReader:
    """Reads one entry of a caption file and notes what is wrong with it."""

    def __init__(self, file: str, place: str) -> None:
        self.file, self.place = file, place
        self.problems: list[PairProblem] = []

    def note(self, what: str, severity: Literal["error", "warning"] = "error") -> None:
        self.problems.append(PairProblem(self.file, self.place, what, severity))

    def read(
        self, image: object, ids: dict[tuple[str, int | str], str]
    ) -> CaptionEntry | None:
        """The entry, None if its images have no place (an error is noted); adds its ids
        to ``ids``."""
        if not isinstance(image, dict):
            self.note(
                "an entry is an object with filename, split and sentences, not "
                f"{shown(image)}"
            )
            return None
        name, folder = self._name(image), image.get("filepath", "")
        if folder != "" and not _is_below(folder):
            self.note(f"filepath {shown(folder)} is not a folder below images")
        # ``placed`` is whether the images can be looked for: name and folder are in
        # order, and the split is known or a folder is given.
        split, placed = image.get("split"), not self.problems
        if split not in SPLITS:
            placed = placed and folder != ""
            # The nearest name is not looked for in a text of any length.
            guess = split if isinstance(split, str) and len(split) < 60 else ""
            unknown = f"unknown split {shown(split)}: {nearest(guess, SPLITS)}"
            self.note(unknown if "split" in image else "key 'split' is missing")
        captions = self._captions(image)
        changed = self._changed(image)
        self._find_double_ids(image, ids)
        source = f"{self.file}: {self.place}"
        if not placed:
            return None
        imgid = image.get("imgid", image.get("image_id", ""))
        return CaptionEntry(
            name, str(split), folder, captions, changed, source, _as_text(imgid)
        )

    def _name(self, image: dict[str, Any]) -> str:
        name = image.get("filename")
        if "filename" not in image:
            self.note("key 'filename' is missing")
        # A name from a stranger's file must not lead out of the folder of images.
        elif not _is_below(name) or PurePosixPath(name).name != name:
            self.note(f"filename {shown(name)} is not the plain name of a file")
        else:
            self.place += f" ({name})"
        return str(name)

    def _captions(self, image: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
        sentences = image.get("sentences")
        if not isinstance(sentences, list) or not sentences:
            self.note(
                "it has no sentences"
                if "sentences" in image
                else "key 'sentences' is missing"
            )
            return ()
        return tuple(
            self._words(number, sentence) for number, sentence in enumerate(sentences)
        )

    def _words(self, number: int, sentence: object) -> tuple[str, ...]:
        where = f"sentence {number}"
        tokens = sentence.get("tokens") if isinstance(sentence, dict) else None
        if not isinstance(tokens, list) or not all(
            isinstance(token, str) for token in tokens
        ):
            self.note(
                f"{where} has no 'tokens' that are a list of strings: {shown(tokens)}"
            )
            return ()
        words = normalise(tokens)
        if not words:
            self.note(f"{where} has no words")
        if len(words) > MOST_WORDS:
            self.note(
                f"{where} has {len(words):,} words; a caption has at most "
                f"{MOST_WORDS:,}"
            )
        odd = next((word for word in words if not is_word(word)), None)
        if odd is not None:
            self.note(
                f"{where}: a token is one word without white space, control "
                f"characters and halves of surrogate pairs; {shown(odd)} is not"
            )
        return words

    def _changed(self, image: dict[str, Any]) -> bool | None:
        if "changeflag" not in image:
            return None
        flag = image["changeflag"]
        if flag not in (0, 1):
            self.note(f"changeflag must be 0 or 1, not {shown(flag)}")
            return None
        return bool(flag)

    def _find_double_ids(
        self, image: dict[str, Any], seen: dict[tuple[str, int | str], str]
    ) -> None:
        """Note ids of the entry and its sentences that ``seen`` (id → place) has
        already; add the others."""
        found = [("imgid", image[key]) for key in ("imgid", "image_id") if key in image]
        # Both spellings of an id are in use; "sentences" itself may be anything here,
        # as what is wrong with it is noted elsewhere.
        sentences = (
            image["sentences"] if isinstance(image.get("sentences"), list) else ()
        )
        for sentence in (
            sentence for sentence in sentences if isinstance(sentence, dict)
        ):
            found += [
                ("sentid", sentence[key])
                for key in ("sentid", "sentence_id")
                if key in sentence
            ]
        for kind, number in found:
            if not isinstance(number, int | str):
                self.note(f"{kind} {shown(number)} is neither a number nor a string")
            elif (kind, number) in seen:
                self.note(
                    f"{kind} {shown(number)} is taken already, by {seen[kind, number]}"
                )
            else:
                seen[kind, number] = self.place


def _load_content(file: Path) -> dict[str, Any]:
    """The content of a caption file, which has a list "images", or DataError without
    the file's name."""
    reason = not_a_file(file)
    if reason:
        raise DataError(reason)
    try:
        # Editors on Windows put a byte order mark first, which JSON does not allow.
        content = parse_json(file.read_bytes().removeprefix(BOM_UTF8), any_text=True)
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror or error})") from error
    except NotJsonError as error:
        hint = "" if file.suffix.lower() == ".json" else f". {_IMPORT}"
        raise DataError(f"broken JSON: {error}{hint}") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f'no list "images": is it a caption file? {_IMPORT}')
    # COCO has "images" too, but its captions lie elsewhere; without this the reader
    # would note a missing key for each entry.
    if isinstance(content.get("annotations"), list):
        raise DataError(f'it is in COCO\'s style, with a list "annotations". {_IMPORT}')
    if not content["images"]:
        raise DataError('the list "images" is empty')
    return content


def _as_text(imgid: object) -> str:
    """An id as it is compared; "" for what is none, which is noted elsewhere."""
    # In Python True is an int.
    is_id = isinstance(imgid, int | str) and not isinstance(imgid, bool)
    return str(imgid) if is_id and len(shown(imgid)) < 100 else ""


def _lists_images(file: Path) -> bool:
    try:
        return bool(_load_content(file))
    except DataError:
        return False


def _is_below(name: object) -> TypeGuard[str]:
    """Whether a name stays inside the folder it is put into, on every system."""
    if not isinstance(name, str) or not name or _NOT_IN_NAMES.search(name):
        return False
    if len(name.encode()) > LONGEST_NAME:
        return False
    return not name.startswith("/") and ".." not in PurePosixPath(name).parts


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
