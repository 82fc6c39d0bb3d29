"""JSON from strangers is read within bounds, and refused in words of ours."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.errors import CheckpointError, DataError
from sencap.json_files import DEEPEST, parse_json, read_json, shortened, shown

HOSTILE = {
    "deeper than Python reads": (
        b"[" * 200_000 + b"]" * 200_000,
        "nested deeper than 32 levels",
    ),
    "deeper than we read": (
        b'{"a":' * 40 + b"1" + b"}" * 40,
        "nested deeper than 32 levels",
    ),
    "a number of 5000 digits": (
        b'{"layers": ' + b"9" * 5000 + b"}",
        "a number of thousands of digits",
    ),
    "half a surrogate pair": (
        b'{"training": "\\ud800"}',
        "'\\\\ud800' holds half of a surrogate pair",
    ),
    "half a surrogate pair as a key": (b'{"\\udfff": 1}', "half of a surrogate pair"),
    "cut short": (b'{"model": ', "it breaks off after line 1, column 11"),
    "cut within a text": (b'{"model": "sen', "it breaks off after line 1, column 11"),
    "two values": (b"{} {}", "it is wrong at line 1, column 4, near '{}'"),
    "no comma": (
        b'{"a": 1\n "b": 2}',
        "it is wrong at line 2, column 2, near '\"b\": 2}'",
    ),
    "nothing": (b" \n", "it is empty"),
    "no text": (b"\xff\xfe\x80", "byte 0 is no UTF-8"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_json_is_refused_with_its_reason(tmp_path: Path, case: str) -> None:
    content, said = HOSTILE[case]
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=rf"config\.json is not readable JSON: .*{said}"
    ) as refused:
        read_json(path)
    assert len(str(refused.value)) < 200 + len(str(path))


def test_the_mark_that_windows_writes_before_a_text_is_passed_over() -> None:
    assert parse_json('{"a": 1}'.encode("utf-8-sig")) == {"a": 1}


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2**40)  # a terabyte that takes no room
    refusals = {
        tmp_path / "pipe": "is no regular file",
        tmp_path: "is no regular file",
        large: "1,048,576 MB; such a file has at most 4",
        tmp_path / "nothing": r"cannot be read \(it does not exist",
    }
    for path, said in refusals.items():
        with pytest.raises(DataError, match=said):
            read_json(path, error=DataError)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_can_hold_comes_back(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize("depth", [DEEPEST - 1, DEEPEST])
def test_the_depth_that_is_read(depth: int) -> None:
    text = "[" * depth + "]" * depth
    assert json.dumps(parse_json(text)) == text


@given(st.text(), st.integers(3, 50))
def test_a_shortened_text_keeps_its_ends(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= most
    assert short == text or (short[0], short[-1]) == (text[0], text[-1])


def test_no_value_makes_a_message_long() -> None:
    values = [
        "a" * 10**6,
        10**5000,
        [10**5000],
        [1] * 10**6,
        {"a": "b" * 10**6},
        {"a": [1] * 10**6},
    ]
    assert max(len(shown(value)) for value in values) <= 60
