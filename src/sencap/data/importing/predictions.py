"""Captions that any system wrote for the pairs of a data set, in the forms in which
people keep them.

    name,caption                                    CSV or TSV, with or without a line of titles
    test_000001.png,a road is built
    {"test_000001.png": "a road is built"}          JSON: by name; also [caption], [{"caption": …}]
    [{"image_id": 7, "caption": "a road is built"}] COCO's results
    {"images": […], "annotations": […]}             COCO's captions
    {"name": "test_000001", "caption": "…"}         a JSON object in each line
    {"images": [{"filename", "sentences": […]}]}    LEVIR-CC's own layout
    {"pairs": [{"filename", "hypothesis"}]}         a report of `sencap evaluate --json`
    a road is built                                 text: a line for each pair, in their order

Names are those of the images, with or without folders and ending, or the pairs' ids in
the caption file. Captions become words as the references do (lower case, no punctuation
around them), and lose the marks of begin, end and padding that some systems leave in.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sencap.bounds import BOUNDS
from sencap.data.importing.records import Problems
from sencap.data.importing.tables import csv_records, json_records
from sencap.data.importing.texts import read_regular_text
from sencap.data.levir_cc import CaptionedPair, CaptionEntry
from sencap.data.vocabulary import is_word, normalise
from sencap.errors import DataError
from sencap.json_files import NotJsonError, parse_json, shown

_Pair = CaptionEntry | CaptionedPair

# Names of columns and keys, in small letters and digits alone; the likeliest comes
# first
_CAPTIONS = (
    "caption", "hypothesis", "prediction", "predictedcaption", "predcaption", "predictioncaption",
    "generatedcaption", "generated", "predicted", "pred", "hypo", "hyp", "candidate", "result",
    "sentence", "text", "description", "output", "captions", "predictions", "sentences", "raw",
    "tokens",
)  # fmt: skip
_NAMES = (
    "name", "filename", "file", "imagename", "imgname", "image", "img", "pair", "pairname", "path",
    "filepath", "before", "imagebefore", "imageid", "imgid", "id", "key", "index",
)  # fmt: skip
# What holds the captions in a JSON object that holds other things too
_CONTAINERS = (
    "predictions", "results", "annotations", "pairs", "images", "captions", "imgtoeval", "data",
    "hypotheses", "valpredictions",
)  # fmt: skip
# Marks that tokenisers put around a caption, in the spellings of common libraries.
_BEGIN_AND_PADDING = {
    "<start>", "<sos>", "<bos>", "<s>", "<cls>", "[cls]", "[bos]", "startseq",
    "<pad>", "[pad]", "<null>",
}  # fmt: skip
_END = {"<end>", "<eos>", "</s>", "<sep>", "[sep]", "[eos]", "endseq", "<|endoftext|>"}
# 8 MB: a report of LEVIR-CC's test pairs has half of it, and more takes long to refuse.
_MOST_BYTES = 8 << 20
_FORMS = (
    "give JSON or CSV with a name and a caption for each pair, or a text with one line for each; "
    "docs/evaluation.md shows all forms"
)
_FEW = 5


@dataclass(frozen=True)
class Prediction:
    """One caption in words: where it stands, and what it calls its pair, the likeliest
    name first; no name in a text of captions alone."""

    place: str
    names: tuple[str, ...]
    words: tuple[str, ...]


def read_predictions(file: str | Path) -> list[Prediction]:
    """The captions of a file in any of the forms above.

    Raises:
        DataError: it cannot be read, is in no known form, or some captions are none:
            all of these at once.
    """
    file = Path(file)
    problems = Problems(file, "scored")
    text = read_regular_text(file, most_bytes=_MOST_BYTES)
    # The form is told by the content: the ending of a file of captions says little.
    if text.lstrip()[:1] in ("{", "["):
        found = _from_json(file, text, problems)
    else:
        found = _from_lines(file, text, problems)
    problems.refuse()
    if not found:
        raise DataError(f"{file} holds no caption; {_FORMS}")
    return found


def captions_of_pairs(
    predictions: Sequence[Prediction],
    pairs: Sequence[_Pair],
    others: Sequence[_Pair],
    file: Path,
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The words said of each pair, in the order of ``pairs``, and notes for a reader.

    ``others`` are the pairs of the data set that are not scored: captions of these are
    left out, which a note says.

    Raises:
        DataError: a caption of no pair, a pair without a caption or with two that
            differ; all of these at once.
    """
    problems = Problems(file, "scored")
    named = _Names(pairs), _Names(others)
    # Captions without names can only be told by their order.
    if any(not one.names for one in predictions):
        return _in_order(predictions, pairs, named[0], problems)
    said: dict[int, Prediction] = {}
    elsewhere = 0
    unknown: list[Prediction] = []
    for one in predictions:
        index = named[0].find(one.names)
        if index is None:
            # A file often has captions of all splits, and one split is scored: what
            # belongs to another is no mistake.
            in_others = named[1].find(one.names) is not None
            elsewhere += in_others
            unknown += [] if in_others else [one]
        # The same caption twice does no harm, as in files that repeat it for each
        # reference.
        elif said.setdefault(index, one).words != one.words:
            problems.note(
                one.place,
                f"{shown(pairs[index].name)} has another caption already, at {said[index].place}; "
                "give one for each pair",
            )
    _note_unknown(unknown, pairs, problems)
    _note_missing(
        [pair for index, pair in enumerate(pairs) if index not in said], pairs, problems
    )
    problems.refuse()
    notes = []
    if elsewhere:
        notes.append(f"{elsewhere:,} captions are of pairs that are not scored here.")
    return [said[index].words for index in range(len(pairs))], notes


def _in_order(
    predictions: Sequence[Prediction],
    pairs: Sequence[_Pair],
    names: _Names,
    problems: Problems,
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Captions without names: a line for each pair, if there are as many of both."""
    if len(predictions) != len(pairs):
        problems.note(
            predictions[0].place,
            f"there are {len(predictions):,} captions without names, and {len(pairs):,} pairs; "
            f"{_FORMS}",
        )
    for one in predictions:
        # Lines of name and caption in an unknown form would be taken for captions, and
        # scored with the name as a word.
        first = re.split(r"[\s,;:]", " ".join(one.words), maxsplit=1)[0]
        if names.find([first]) is not None:
            problems.note(
                one.place, f"its caption begins with the name of a pair; {_FORMS}"
            )
    problems.refuse()
    note = (
        "The captions have no names: they were taken for those of the pairs in the order of the "
        "caption file, which nothing shows to be right."
    )
    return [one.words for one in predictions], [note]


def _note_unknown(
    unknown: Sequence[Prediction], pairs: Sequence[_Pair], problems: Problems
) -> None:
    for one in unknown:
        called = " and ".join(shown(name) for name in one.names[:3])
        problems.note(
            one.place,
            f"no pair of the data set, or more than one, is called {called}; a name is like "
            f"{shown(f'{pairs[0].split}/{pairs[0].name}')}, and may lack the folder",
        )


def _note_missing(
    missing: Sequence[_Pair], pairs: Sequence[_Pair], problems: Problems
) -> None:
    if not missing:
        return
    names = ", ".join(shown(pair.name) for pair in missing[:_FEW])
    more = f" and {len(missing) - _FEW:,} more" if len(missing) > _FEW else ""
    problems.note(
        "captions",
        f"there is none of {len(missing):,} of the {len(pairs):,} pairs ({names}{more}). Every "
        "pair counts: give each its caption, an empty one where the system said nothing, or name "
        "the split that was captioned",
    )


class _Names:
    """Finds pairs by what others call them."""

    def __init__(self, pairs: Sequence[_Pair]) -> None:
        self._pairs = pairs
        self._known: dict[str, list[int]] = defaultdict(list)
        for index, pair in enumerate(pairs):
            for key in {pair.name, PurePosixPath(pair.name).stem}:
                self._known[key].append(index)
        self._ids: dict[str, list[int]] = defaultdict(list)
        for index, pair in enumerate(pairs):
            if pair.imgid:
                self._ids[pair.imgid].append(index)

    def find(self, names: Iterable[str]) -> int | None:
        """The pair that the first name which means one pair means; None if none
        does."""
        for name in names:
            found = self._of(name)
            if len(found) == 1:
                return found[0]
        return None

    def _of(self, name: str) -> list[int]:
        # "x.png#0" is the way of Flickr's files to number the captions of an image.
        path = PurePosixPath(re.sub(r"#\d+$", "", name.strip().replace("\\", "/")))
        for key in (path.name, path.stem):
            found = self._known.get(key, [])
            if len(found) > 1:  # the same name in several splits: the folders tell
                found = [
                    index for index in found if self._pairs[index].split in path.parts
                ]
            if found:
                return found
        return self._ids.get(name, [])


# Forms


def _from_json(file: Path, text: str, problems: Problems) -> list[Prediction]:
    try:
        content = parse_json(text)
    except NotJsonError as error:
        # Several objects, one in each line, are no JSON as a whole. A second line that
        # begins with a brace shows that they are meant.
        second = text.lstrip().partition("\n")[2].lstrip()
        if not second.startswith("{"):
            raise DataError(f"{file} is no readable JSON: {error}") from error
        return _from_records(json_records(file, text, problems), problems)
    if isinstance(content, list):
        return _from_list(file.name, content, problems)
    return _from_object(file, content, problems)


def _from_object(
    file: Path, content: Mapping[str, Any], problems: Problems
) -> list[Prediction]:
    by_key = {_letters(key): value for key, value in content.items()}
    if isinstance(by_key.get("images"), list) and isinstance(
        by_key.get("annotations"), list
    ):
        return _from_coco(file, by_key["images"], by_key["annotations"], problems)
    # The likeliest container first; it must hold captions, and not the name of a file,
    # say.
    for key in _CONTAINERS:
        held = by_key.get(key)
        if isinstance(held, list) and held and isinstance(held[0], dict):
            return _from_list(f"{file.name}, {key}", held, problems)
        if isinstance(held, dict) and held:
            return _from_mapping(f"{file.name}, {key}", held, problems)
    if _first(content, _CAPTIONS) is not None and _names_of(content):
        return _from_records([(file.name, content)], problems)  # a single line
    return _from_mapping(file.name, content, problems)


def _from_coco(
    file: Path, images: list[Any], annotations: list[Any], problems: Problems
) -> list[Prediction]:
    """Captions of images with ids, and the names of these."""
    names: dict[str, tuple[str, ...]] = {}
    for image in images:
        if isinstance(image, dict) and isinstance(image.get("id"), int | str):
            # Ids as text: one list may have numbers where the other has strings.
            names[str(image["id"])] = _names_of(image)
    found = []
    for one in _from_list(f"{file.name}, annotations", annotations, problems):
        known = [names[number] for number in one.names if number in names]
        found.append(Prediction(one.place, known[0] if known else one.names, one.words))
    return found


def _from_list(where: str, items: list[Any], problems: Problems) -> list[Prediction]:
    """Objects with name and caption, lists of the two, or captions alone."""
    records: list[tuple[str, Mapping[str, Any]]] = []
    for number, item in enumerate(items):
        place = f"{where}[{number}]"
        if isinstance(item, dict):
            records.append((place, item))
        elif (
            isinstance(item, list) and len(item) == 2 and isinstance(item[0], str | int)
        ):
            records.append((place, {"name": item[0], "caption": item[1]}))
        elif isinstance(item, str):
            records.append((place, {"caption": item}))
        else:
            problems.note(
                place, f"{shown(item)} is no object with a name and a caption"
            )
    return _from_records(records, problems)


def _from_mapping(
    where: str, content: Mapping[str, Any], problems: Problems
) -> list[Prediction]:
    found = []
    for name, value in content.items():
        place = f"{where}, {shown(name)}"
        words = _words_of(place, value, problems)
        if words is not None:
            found.append(Prediction(place, (name,), words))
    return found


def _from_records(
    records: Sequence[tuple[str, Mapping[str, Any]]], problems: Problems
) -> list[Prediction]:
    found = []
    # If no record has a name, the captions are taken in order. If only some have none,
    # these are mistakes.
    unnamed = sum(not _names_of(record) for _, record in records)
    for place, record in records:
        caption = _first(record, _CAPTIONS)
        names = _names_of(record)
        keys = ", ".join(shown(key) for key in list(record)[:10]) or "none"
        if caption is None:
            problems.note(place, f"it has no caption; its keys are {keys}")
            continue
        if not names and unnamed < len(records):
            problems.note(place, f"it has no name; its keys are {keys}")
            continue
        words = _words_of(place, caption, problems)
        if words is not None:
            found.append(Prediction(place, names, words))
    return found


def _from_lines(file: Path, text: str, problems: Problems) -> list[Prediction]:
    """CSV with titles; lines of a name and a caption; or captions alone."""
    # Not splitlines(), which would also split at what a caption may hold.
    numbered = [
        (number, line)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if not numbered:
        return []
    lines = [line.removesuffix("\r") for _, line in numbered]
    # The separator is the one that the first line has most of.
    mark = max("\t,;", key=lines[0].count)
    titles = dict.fromkeys(map(_letters, lines[0].split(mark)))
    # A first line is one of titles if it has a column for the caption, and one for
    # names or no other; a sentence is hardly ever written so.
    has_names = bool(_names_of(dict.fromkeys(titles, "x"))) or len(titles) == 1
    if has_names and titles.keys() & set(_CAPTIONS):
        return _from_records(csv_records(file, text, problems), problems)
    named = _named_lines(lines, mark)
    found = []
    for row, (number, line) in enumerate(numbered):
        place = f"{file.name}, line {number}"
        name, caption = named[row] if named else ("", line)
        words = _words_of(place, caption, problems)
        if words is not None:
            found.append(Prediction(place, (name,) if name else (), words))
    return found


def _named_lines(lines: Sequence[str], mark: str) -> list[tuple[str, str]]:
    """Lines of a name and a caption, without titles; none if they are not all such
    lines.

    A name has no space in it, or a tab follows it: a sentence with a comma is no name
    and caption.
    """
    found = []
    for line in lines:
        try:
            cells = next(csv.reader(io.StringIO(line), delimiter=mark))
        except (csv.Error, StopIteration):
            return []
        name, caption = cells[0].strip(), f"{mark} ".join(cells[1:])
        if len(cells) < 2 or not name or (mark != "\t" and " " in name):
            return []
        found.append((name, caption))
    return found


# Names and words


def _letters(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _first(record: Mapping[str, Any], known: Sequence[str]) -> Any:
    """What a record has under the likeliest of some keys; None if it has none of
    them."""
    by_key = {_letters(key): value for key, value in record.items()}
    for key in known:
        if by_key.get(key) is not None:
            return by_key[key]
    return None


def _names_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    by_key = {_letters(key): value for key, value in record.items()}
    values = [by_key[key] for key in _NAMES if key in by_key]
    return tuple(str(value) for value in values if _is_name(value))


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _words_of(place: str, value: Any, problems: Problems) -> tuple[str, ...] | None:
    """The words of a caption; None, and what is wrong noted, if it is none. An empty
    one is one."""
    sentence = _sentence_of(value)
    if sentence is None:
        count = len(value) if isinstance(value, list) else 0
        what = (
            f"{count} captions; give one for each pair" if count > 1 else "no sentence"
        )
        problems.note(place, f"{shown(value)} is {what}")
        return None
    words = []
    for token in sentence.split():
        # What a system says after its mark of the end is no part of the caption.
        if token.lower() in _END:
            break
        if token.lower() not in _BEGIN_AND_PADDING:
            words.append(token)
    said = normalise(words)
    most = BOUNDS["max_words"].most
    if len(said) > most:
        problems.note(
            place, f"it has {len(said):,} words; a caption has at most {most:,}"
        )
        return None
    if not all(is_word(word) for word in said):
        problems.note(place, f"{shown(sentence)} holds a control character")
        return None
    return said


def _sentence_of(value: Any) -> str | None:
    """The sentence in a text, a list of one, a list of words, or an object; None if
    there is none, or more than one."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _sentence_of(_first(value, ("raw", "tokens", *_CAPTIONS)))
    if not isinstance(value, list):
        return None
    if len(value) == 1:
        return _sentence_of(value[0])
    if all(isinstance(item, str) and len(item.split()) <= 1 for item in value):
        return " ".join(value)  # words
    return None
