"""Parts of a list: together they are the whole, whatever their number."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.cli import main
from sencap.errors import SettingsError
from sencap.shards import shard_of


@given(st.integers(0, 10_000), st.integers(1, 200), st.integers(1, 40))
def test_parts_follow_each_other_and_leave_nothing_out(
    count: int, parts: int, together: int
) -> None:
    numbers = range(1, parts + 1)
    ranges = [
        shard_of(count, f"{number}/{parts}", together=together) for number in numbers
    ]
    assert [place for part in ranges for place in part] == list(range(count))
    sizes = {len(part) for part in ranges}
    assert max(sizes) - min(sizes) < 2 * together
    assert all(part.start % together == 0 for part in ranges if part)


@pytest.mark.parametrize(
    "shard", ["0/3", "4/3", "1/0", "x", "1", "", "-1/2", "1/2/3", "1/99999999"]
)
def test_what_is_no_part_is_refused(shard: str) -> None:
    with pytest.raises(SettingsError, match="it is I/N, the I-th of N parts"):
        shard_of(10, shard)


def test_rows_of_all_parts_are_those_of_one_run(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bytes for any number of parts; every pair has an id, though two have one
    name."""
    folder = tiny_data / "images" / "test"
    names = 2 * sorted(path.name for path in (folder / "A").iterdir())
    table = tmp_path / "pairs.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["before", "after", "name"])
        pairs = [
            [str(folder / "A" / one), str(folder / "B" / one), "same"] for one in names
        ]
        pairs[1][0] = "bad.png"
        (tmp_path / "bad.png").write_bytes(b"\x89PNG")
        rows.writerows(pairs)

    def run(*flags: str) -> str:
        main(["caption", str(table), "--json", "--batch-size", "2", *flags])
        return capsys.readouterr().out

    whole = run()
    assert [json.loads(line)["id"] for line in whole.splitlines()] == [
        0,
        *range(2, len(names)),
    ]
    for parts in (1, 3, 9):
        rows_of = [
            run("--shard", f"{number}/{parts}") for number in range(1, parts + 1)
        ]
        assert "".join(rows_of) == whole
    assert (
        main(
            [
                "caption",
                str(folder / "A" / names[0]),
                str(folder / "B" / names[0]),
                "--shard",
                "1/2",
            ]
        )
        == 2
    )
    assert "shard is a part of many pairs" in capsys.readouterr().err
