"""Lists of pairs with ids: what is read of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sencap.errors import DataError
from sencap.images.lists import is_list, read_list
from sencap.images.windows import Window

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

HEAD = "id,before,after"
WINDOWS = "id,before,after,row,column,height,width"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_csv_and_a_parquet_file_of_the_same_rows_are_one_list(tmp_path: Path) -> None:
    """A table with holes keeps whole numbers as floats; their windows are the same."""
    lines = ["a,x.png,y.png,,,,", "7,big.tif,late.tif,0,256,128,64"]
    csv = write(tmp_path / "list.csv", WINDOWS, *lines)
    columns = {
        "ID": ["a", "7"],
        "before": ["x.png", "big.tif"],
        "after": ["y.png", "late.tif"],
        "row": [None, 0.0],
        "column": [None, 256.0],
        "height": [None, 128.0],
        "width": [None, 64.0],
        "remark": ["not asked for", "at all"],
    }
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    found = list(read_list(csv))
    assert found == list(read_list(tmp_path / "list.parquet"))
    assert [pair.window for pair in found] == [None, Window(0, 256, 128, 64)]
    assert found[0].before == tmp_path / "x.png"
    assert [pair.number for pair in found] == [0, 1]


def test_cells_may_hold_line_ends_and_other_marks_part_them(tmp_path: Path) -> None:
    text = 'id;before;after\n"a;b";x.png;y.png\n\n"c\nd";x.png;y.png\n'
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8-sig")
    assert [pair.key for pair in read_list(path)] == ["a;b", "c\nd"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["before,after", "a,b"], "has no column id"),
        (["id,before", "a,b"], "has no column after"),
        (["id,before,after,after", "1,a,b,c"], "has the column after twice"),
        ([HEAD], "has no row of a pair"),
        ([HEAD, "1,a,b", "1,c,d"], "line 3: the id '1' is that of line 2 too"),
        ([HEAD, "1,a,b", ",c,d"], "line 3: it has no id"),
        ([HEAD, '1,"a,b'], "a quotation mark is opened and never closed"),
        (["id,before,after,row", "1,a,b,3"], "the columns row of windows and lacks"),
        ([WINDOWS, "1,a,b,1,2,3,"], "four whole numbers, or all empty"),
        ([WINDOWS, "1,a,b,1,-2,3,4"], "four whole numbers, or all empty"),
        ([WINDOWS, "1,a,b,1,2,0,4"], "a window of 0×4 pixels at 1, 2 is none"),
    ],
)
def test_what_is_no_list_is_refused(
    lines: list[str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=told):
        list(read_list(write(tmp_path / "list.csv", *lines)))


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "bad.csv").write_bytes(b"id,before,after\n\xff\xfe,a,b\n")
    for name, told in {
        "bad.parquet": "is no whole Parquet file",
        "bad.csv": "is no text in UTF-8",
        "none.csv": "it does not exist",
    }.items():
        with pytest.raises(DataError, match=told):
            list(read_list(tmp_path / name))
    with pytest.raises(DataError, match=r"is neither \.csv nor \.parquet"):
        list(read_list(write(tmp_path / "list.txt", HEAD, "1,a,b")))


def test_a_table_without_ids_is_no_list(tmp_path: Path) -> None:
    assert is_list(write(tmp_path / "a.csv", HEAD))
    assert not is_list(write(tmp_path / "b.csv", "before,after,identity"))
    # other marks of dates, which `find_pairs` knows
    assert not is_list(write(tmp_path / "c.csv", "id,2018,2019"))
    assert not is_list(tmp_path)
