"""Caption files of LEVIR-CC's schema: which they are, and all that is right and wrong in
them."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeGuard

from sencap.bounds import BOUNDS
from sencap.data.change_flags import checked_sentences, with_flags
from sencap.data.entries import SPLITS, CaptionEntry, PairProblem
from sencap.data.vocabulary import CONTROL, is_word, normalise
from sencap.errors import DataError, SettingsError, nearest
from sencap.files import not_a_file
from sencap.json_files import NotJsonError, parse_json, shown

CAPTION_FILE = "LevirCCcaptions.json"
MOST_WORDS = BOUNDS["max_words"].most
LONGEST_NAME = 255
"""Bytes of a file's name, or of a folder's path below ``images``; file systems take no
longer name."""
_IMPORT = (
    "Captions of another layout (CSV, COCO, Hugging Face) are brought into this one "
    "by `sencap import SOURCE OUT`"
)
# On Windows a backslash parts folders and a colon follows a drive, so that a name with
# one may lead elsewhere.
_NOT_IN_NAMES = re.compile(rf"[\\:{CONTROL}]")


def find_caption_files(path: Path) -> list[Path]:
    """The caption files that ``path`` means: itself, or those of the folder (see the
    head of `sencap.data.levir_cc`).

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
    named = checked_sentences(no_change)
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
    entries, warnings = with_flags(entries, named)
    return entries, problems + warnings


def _named_sentences(content: dict[str, Any]) -> list[str]:
    """The sentences of no change that a caption file names itself."""
    named = content.get("no_change", [])
    if not isinstance(named, list):
        raise DataError(f"no_change is {shown(named)}, not a list of sentences")
    try:
        return checked_sentences(named)
    except SettingsError as error:
        raise DataError(str(error)) from error


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
