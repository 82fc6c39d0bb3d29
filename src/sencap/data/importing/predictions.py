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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sencap.bounds import BOUNDS
from sencap.data.importing.records import Problems
from sencap.data.importing.tables import csv_records, json_records
from sencap.data.importing.texts import read_regular_text
from sencap.data.vocabulary import is_word, normalise
from sencap.errors import DataError
from sencap.json_files import NotJsonError, parse_json, shown

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
FORMS = (
    "give JSON or CSV with a name and a caption for each pair, or a text with one line for each; "
    "docs/evaluation.md shows all forms"
)


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
        raise DataError(f"{file} holds no caption; {FORMS}")
    return found


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
