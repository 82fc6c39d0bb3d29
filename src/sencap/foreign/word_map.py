"""A word map of published weights, word → id, in our order."""

from __future__ import annotations

from pathlib import Path

from sencap.data.vocabulary import MOST_MEGABYTES, SPECIAL_WORDS, Vocabulary
from sencap.errors import CheckpointError
from sencap.json_files import read_json

ALIASES = {"<null>": "<pad>", "<sos>": "<start>", "<bos>": "<start>", "<eos>": "<end>"}


def read_words(path: Path, rows: int | None = None) -> tuple[Vocabulary, list[int]]:
    """Our vocabulary of their word map, and the id that each of its words has there.

    ``rows`` are those of the model's embedding, where they are known.

    Raises:
        CheckpointError: no word map, or another model's.
    """
    try:
        table = read_json(path, most_megabytes=MOST_MEGABYTES)
    except CheckpointError as error:
        raise CheckpointError(f"the word map {error}") from error
    if not isinstance(table, dict) or not all(
        type(number) is int for number in table.values()
    ):
        raise CheckpointError(f"the word map {path} is not a JSON object, word → id")
    rows = len(table) if rows is None else rows
    if sorted(table.values()) != list(range(rows)):
        raise CheckpointError(
            f"the word map {path} has {len(table)} words with ids "
            f"{min(table.values(), default=0)} to {max(table.values(), default=0)}; "
            f"the decoder's embedding has {rows} rows, 0 to {rows - 1}, one for each "
            "word. Is it the word map of this model?"
        )
    ids = {_special(word): number for word, number in table.items()}
    missing = [word for word in SPECIAL_WORDS if word not in ids]
    if missing or len(ids) < len(table):
        raise CheckpointError(
            f"the word map {path} lacks {', '.join(missing) or 'one of two like words'}"
        )
    # the special words first, as in every vocabulary of ours; the others stay in their
    # order
    by_id = sorted(ids, key=ids.__getitem__)
    words = [*SPECIAL_WORDS, *(word for word in by_id if word not in SPECIAL_WORDS)]
    return Vocabulary(tuple(words)), [ids[word] for word in words]


def _special(word: str) -> str:
    lower = word.lower()
    return ALIASES.get(lower, lower) if lower in (*ALIASES, *SPECIAL_WORDS) else word
