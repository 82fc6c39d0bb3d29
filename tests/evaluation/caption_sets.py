"""Captions the evaluation tests share: small made-up ones, and LEVIR-CC's where they
are at hand."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sencap.evaluation.protocol import ScoredPair

DATA = Path(__file__).parents[3] / "shared" / "data"
OFFICIAL = DATA / "captions" / "LevirCCcaptions_all.json"
LOCAL = DATA / "levir_cc" / "LevirCCcaptions.json"

needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="METEOR needs Java; there is none here"
)

SAME = "the scene is the same as before"


def levir(path: Path, *splits: str) -> list[dict[str, Any]]:
    """The entries of a LEVIR-CC caption file, or a skip with the reason."""
    if not path.is_file():
        pytest.skip(
            f"{path} is not here; it is shared data that does not come with the "
            "repository"
        )
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[
        "images"
    ]
    return [entry for entry in entries if not splits or entry["split"] in splits]


def captions_of(entry: dict[str, Any]) -> list[list[str]]:
    return [list(sentence["tokens"]) for sentence in entry["sentences"]]


def as_pairs(
    entries: Sequence[dict[str, Any]], hypothesis: str = SAME
) -> list[ScoredPair]:
    return [
        ScoredPair(
            entry["filename"],
            captions_of(entry),
            hypothesis.split(),
            -1.0,
            bool(entry["changeflag"]),
        )
        for entry in entries
    ]


@dataclass(frozen=True)
class Numbers:
    """An encoder as small as the protocol allows: words in their order from 4 on, all
    others 1."""

    words: tuple[str, ...]

    @classmethod
    def seen(cls, captions: Sequence[Sequence[str]], times: int) -> Numbers:
        counts = Counter(word for caption in captions for word in caption)
        return cls(tuple(word for word, count in counts.items() if count >= times))

    def encode(self, words: Sequence[str], /) -> list[int]:
        known = {word: number for number, word in enumerate(self.words, 4)}
        return [known.get(word, 1) for word in words]

    def __len__(self) -> int:
        return len(self.words) + 4

    def __contains__(self, word: object, /) -> bool:
        return word in self.words

    @property
    def digest(self) -> str:
        return hashlib.sha256(" ".join(self.words).encode()).hexdigest()
