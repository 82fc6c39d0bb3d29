"""A sheet of paper that pictures are laid out on, in inches from its upper left
corner."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sencap.figures.files import check_path
from sencap.files import write_whole
from sencap.images import shrink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.16  # inches: the columns of IEEE's journals
TEXT = 8.0  # points: the smallest text
LINE = TEXT * 1.3 / 72  # inches from line to line
INK, PALE = "#14181c", "#5f666e"
# Of Okabe and Ito's set, which colour-blind readers tell apart.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
# Viridis is perceptually uniform: equal steps of a value look equal.
MAP = "viridis"
VEIL = 0.62  # opacity of a map over its image
DPI = 200
# Pixels of an image's longer side: twice what is seen of one at the widest
LONGEST = 1024
# Times as long as wide; images beyond are squeezed, or no sheet would hold them
SLIMMEST = 8

_GREY: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1}

Map = NDArray[np.floating[Any]]


class Sheet:
    """A white sheet, ``width`` × ``height`` inches; y runs down."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)

        self.width, self.height = width, height
        self.figure: Figure = Figure(figsize=(width, height), facecolor="white")

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes with their upper left corner at (x, y)."""
        # Matplotlib counts from the lower left corner, in shares of the sheet.
        bottom = (self.height - y - height) / self.height
        return self.figure.add_axes(
            (x / self.width, bottom, width / self.width, height / self.height)
        )

    def text(
        self, x: float, y: float, text: str, *, size: float = TEXT, **style: Any
    ) -> None:
        """Text whose upper left corner (or what ``ha`` and ``va`` say) is at (x, y). No
        formulas."""
        options = {"color": INK, "va": "top", "parse_math": False, **style}
        self.figure.text(
            x / self.width, 1 - y / self.height, text, fontsize=size, **options
        )

    def rule(
        self,
        x: float,
        y: float,
        length: float,
        *,
        colour: str = INK,
        width: float = 0.8,
    ) -> None:
        """A horizontal line, ``width`` points thick."""
        from matplotlib.lines import Line2D  # noqa: PLC0415  (an extra)

        xs, ys = [x / self.width, (x + length) / self.width], [1 - y / self.height] * 2
        line = Line2D(
            xs, ys, color=colour, linewidth=width, transform=self.figure.transFigure
        )
        self.figure.add_artist(line)

    def image(
        self, x: float, y: float, width: float, image: NDArray[np.uint8]
    ) -> float:
        """An image (3, H, W), ``width`` wide; returns its height."""
        height = width * ratio(image)
        axes = self.axes(x, y, width, height)
        few = shrink(image, LONGEST).transpose(1, 2, 0)
        axes.imshow(few, interpolation="antialiased", aspect="auto")
        axes.set_axis_off()
        return height

    def map(
        self,
        x: float,
        y: float,
        width: float,
        image: NDArray[np.uint8],
        *,
        values: Map,
        limits: tuple[float, float],
    ) -> float:
        """A map (h, w) over an image in pale grey; returns its height. Cells are drawn
        as the squares they are."""
        height = width * ratio(image)
        axes = self.axes(x, y, width, height)
        # Map and image fill one frame, whatever their numbers of pixels.
        whole: dict[str, Any] = {"extent": (0.0, 1.0, 1.0, 0.0), "aspect": "auto"}
        axes.imshow(pale(shrink(image, LONGEST)), **_GREY, **whole)
        low, high = limits
        squares: dict[str, Any] = {"interpolation": "nearest", **whole}
        axes.imshow(values, cmap=MAP, alpha=VEIL, vmin=low, vmax=high, **squares)
        axes.set_axis_off()
        return height

    def bar(
        self,
        x: float,
        y: float,
        height: float,
        *,
        limits: tuple[float, float],
        label: str,
        names: Sequence[str] | None = None,
    ) -> None:
        """A colour bar, 0.09 inches wide, as the colours look over mid grey; ``names``
        replace the ends' values."""
        axes = self.axes(x, y, 0.09, height)
        whole: dict[str, Any] = {"extent": (0.0, 1.0, *limits), "aspect": "auto"}
        axes.imshow(np.full((1, 1), 0.65), **_GREY, **whole)
        column = np.linspace(0, 1, 128)[::-1, None]  # the greatest on top
        axes.imshow(column, cmap=MAP, alpha=VEIL, **whole)
        axes.set_xticks([])
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
        axes.set_ylabel(label, fontsize=TEXT, color=INK, labelpad=3)
        if names is None:
            axes.locator_params(axis="y", nbins=4)
        else:
            axes.set_yticks(limits, names)
        axes.tick_params(labelsize=TEXT, length=2, pad=2, colors=INK)
        for spine in axes.spines.values():
            spine.set_linewidth(0.4)

    def save(self, path: str | Path) -> Path:
        """Write the sheet; the ending names the format.

        Raises:
            SettingsError: another ending than .png, .pdf, .svg, or a folder that is not
                there.
        """
        return save_figure(self.figure, path)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, PDF or SVG, whole or not at all."""
    path = check_path(path, endings=(".png", ".pdf", ".svg"))
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower()[1:], dpi=DPI)
    return write_whole(path, content.getvalue())


def ratio(image: NDArray[np.uint8]) -> float:
    """Height over width that an image (3, H, W) is shown with."""
    height_over_width = image.shape[1] / image.shape[2]
    return float(min(max(height_over_width, 1 / SLIMMEST), SLIMMEST))


def pale(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """An image (3, H, W) as grey (H, W), 0.3–1, so that a map over it keeps its colours
    apart."""
    # The share of red, green and blue in brightness, as television has it (BT.601).
    brightness = (0.299, 0.587, 0.114)
    grey: NDArray[np.float64] = np.tensordot(brightness, image / 255.0, 1)
    return 0.3 + 0.7 * grey


def text_width(text: str, *, size: float = TEXT, bold: bool = False) -> float:
    """The width of a text in inches."""
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415  (an extra)
    from matplotlib.textpath import text_to_path  # noqa: PLC0415

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72


def wrap(
    text: str, width: float, *, size: float = TEXT, bold: bool = False
) -> list[str]:
    """A text in lines of at most ``width`` inches, broken between words."""
    lines: list[str] = []
    for word in re.split(r"\s+", text.strip()):
        longer = " ".join([*lines[-1:], word])
        if lines and text_width(longer, size=size, bold=bold) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
