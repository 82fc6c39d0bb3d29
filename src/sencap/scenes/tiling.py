"""Where the windows of a scene lie: numbered, overlapping, and each with ground of its
own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

from sencap.bounds import check_fraction, check_numbers
from sencap.images.windows import Window


@dataclass(frozen=True)
class Tiling:
    """Windows of ``side`` × ``side`` pixels over a ground of ``height`` × ``width``,
    row by row.

    Each overlaps the next by the share ``overlap`` of a side; the last of a row or
    column reach back from the border, so that every pixel is in a window. A ground
    smaller than a window is one window, as far as it goes. A window's number depends on
    nothing but these four values.

    `cell` gives each window the ground that counts as its own: the cells share no pixel
    and leave out none, so that totals over them count no ground twice.

    Raises:
        SettingsError: a side or an overlap out of its bounds.
    """

    height: int
    width: int
    side: int
    overlap: float = 0.25

    def __post_init__(self) -> None:
        check_numbers(side=self.side)
        check_fraction("overlap", self.overlap)

    @property
    def step(self) -> int:
        """Pixels from one window to the next."""
        return max(1, round(self.side * (1 - self.overlap)))

    @cached_property
    def tops(self) -> Sequence[int]:
        """The first rows of the windows."""
        return self._starts(self.height)

    @cached_property
    def lefts(self) -> Sequence[int]:
        """The first columns of the windows."""
        return self._starts(self.width)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def place(self, number: int) -> tuple[int, int]:
        """The row and the column of a window among the windows."""
        return divmod(number, len(self.lefts))

    def window(self, number: int) -> Window:
        """The ground that a window shows."""
        row, column = self.place(number)
        height, width = min(self.side, self.height), min(self.side, self.width)
        return Window(self.tops[row], self.lefts[column], height, width)

    def cell(self, number: int) -> Window:
        """The ground that is a window's own, which lies in the window."""
        row, column = self.place(number)
        top, bottom = self.row_edges[row : row + 2]
        left, right = self.column_edges[column : column + 2]
        return Window(top, left, bottom - top, right - left)

    @cached_property
    def row_edges(self) -> Sequence[int]:
        """The rows at which one window's own ground ends and the next one's begins."""
        return self._edges(self.tops, self.height)

    @cached_property
    def column_edges(self) -> Sequence[int]:
        """The same for columns."""
        return self._edges(self.lefts, self.width)

    def over(self, row: float, column: float) -> list[int]:
        """The numbers of the windows that show a point."""
        rows = self._windows_at(self.tops, row)
        columns = self._windows_at(self.lefts, column)
        return [one * len(self.lefts) + other for one, other in product(rows, columns)]

    def _starts(self, length: int) -> list[int]:
        last = max(length - self.side, 0)
        # The last window ends at the border, however much it overlaps the one before.
        return [*range(0, last, self.step), last]

    def _edges(self, starts: Sequence[int], length: int) -> list[int]:
        # The middle of what two windows share, from the start of the later one to the end
        # of the earlier one.
        between = [(one + self.side + other) // 2 for one, other in pairwise(starts)]
        return [0, *between, length]

    def _windows_at(self, starts: Sequence[int], place: float) -> range:
        # Of the windows that begin before the place, those that have not ended.
        end = bisect_right(starts, place)
        first = bisect_right(starts, place - self.side)
        return range(first, end)
