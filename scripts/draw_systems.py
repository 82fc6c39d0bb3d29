"""Draw docs/systems/NAME.svg, a diagram of every system (needs the extra `figures`).

python scripts/draw_systems.py [FOLDER] [--format png]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

DOCS = Path(__file__).parents[1] / "docs" / "systems"
DATA, EXTRACTOR, DIFFERENCE, DECODER = "#eeeeee", "#cfe2f3", "#fde5c8", "#d5ead0"
WIDTH, HEIGHT = 1.75, 0.62  # of a box, in units of 0.8 inch
COLUMN, ROW = 2.15, 1.0


@dataclass(frozen=True)
class Box:
    """A box in a column and a row (fractions allowed); ``after`` names the boxes whose
    output it takes."""

    name: str
    column: float
    row: float
    text: str
    colour: str
    after: tuple[str, ...] = ()


def dates(extractor: str) -> list[Box]:
    """Both images through one network, each by itself."""
    return [
        Box("bef", 0, 0, "before", DATA),
        Box("aft", 0, 1, "after", DATA),
        Box("X_bef", 1, 0, extractor, EXTRACTOR, ("bef",)),
        Box("X_aft", 1, 1, f"{extractor}\n(same weights)", EXTRACTOR, ("aft",)),
    ]


def sen(first: list[Box], *, start: str, features: tuple[str, ...]) -> list[Box]:
    """SFE, CAGD and decoder: ``start`` is the box that F_diff begins as, ``features``
    are those that SFE weighs."""
    return [
        *first,
        Box("I", 2, 1.9, "both images,\n1×1 conv, stride", DATA),
        Box("sfe", 3, 1, "SFE: channel\nattention × F", DIFFERENCE, (*features, "I")),
        Box(
            "cross",
            4,
            0,
            "CAGD: F_m asks\nF_diff, m = bef, aft",
            DIFFERENCE,
            (start, "sfe"),
        ),
        Box(
            "self",
            5,
            0,
            "F̂_aft − F̂_bef, self\nattention, + F_diff",
            DIFFERENCE,
            ("cross",),
        ),
        Box("dec", 6, 0, "transformer\n512, 1 layer", DECODER, ("self",)),
        Box("times", 4.5, -0.55, "2 layers", "none"),
    ]


def transformer(
    boxes: list[Box], *, layers: int, column: float, after: tuple[str, ...]
) -> list[Box]:
    decoder = f"transformer\n1024, {layers} layer{'s' if layers > 1 else ''}"
    return [*boxes, Box("dec", column, 0.5, decoder, DECODER, after)]


RESNET, VIT = "ResNet-101, stage 3\n1024 × 14×14, frozen", "ViT-B/32\n768 × 7×7, frozen"


def tokens(extractor: str) -> list[Box]:
    return [
        *dates(extractor),
        Box("x_bef", 2, 0, "1×1 conv → 512\n+ row, column", DIFFERENCE, ("X_bef",)),
        Box("x_aft", 2, 1, "1×1 conv → 512\n+ row, column", DIFFERENCE, ("X_aft",)),
    ]


LOOKS = [
    *dates(RESNET),
    Box("X_diff", 2, 0.5, "X_diff =\nX_aft − X_bef", DIFFERENCE, ("X_bef", "X_aft")),
]
DUAL = [
    *LOOKS,
    Box(
        "a_bef", 3, 0, "map a_bef of\n[X_bef; X_diff]", DIFFERENCE, ("X_bef", "X_diff")
    ),
    Box(
        "a_aft", 3, 1, "map a_aft of\n[X_aft; X_diff]", DIFFERENCE, ("X_aft", "X_diff")
    ),
    Box(
        "l",
        4,
        0.5,
        "l_bef, l_diff, l_aft:\nsums of a_m × X_m",
        DIFFERENCE,
        ("a_bef", "a_aft"),
    ),
]
RSICC = [
    *tokens(RESNET),
    Box("d", 3, 0.5, "d = x_aft − x_bef", DIFFERENCE, ("x_bef", "x_aft")),
    Box("y_bef", 4, 0, "x_bef asks d", DIFFERENCE, ("x_bef", "d")),
    Box("y_aft", 4, 1, "x_aft asks d\n(same weights)", DIFFERENCE, ("x_aft", "d")),
    Box("times", 3.5, -0.55, "3 layers", "none"),
]

SYSTEMS: dict[str, list[Box]] = {
    "sen": sen(
        [
            Box("bef", 0, 0, "before", DATA),
            Box("aft", 0, 1, "after", DATA),
            Box("cat", 1, 0, "6 channels", DATA, ("bef", "aft")),
            Box("F", 2, 0, "ResNet-50, stage 4\nP → F, 512 × 8×8", EXTRACTOR, ("cat",)),
        ],
        start="F",
        features=("F",),
    ),
    "sen-single-sub": sen(
        [
            Box("bef", 0, 0, "before", DATA),
            Box("aft", 0, 1, "after", DATA),
            Box("sub", 1, 0, "after − before,\n3 channels", DATA, ("bef", "aft")),
            Box("F", 2, 0, "ResNet-50, stage 4\nP → F, 512 × 8×8", EXTRACTOR, ("sub",)),
        ],
        start="F",
        features=("F",),
    ),
    "sen-dual": sen(
        [
            *dates("ResNet-50, stage 4\nP → F_m, 512 × 8×8"),
            Box(
                "F",
                2,
                -0.6,
                "F_diff starts as\nF_aft − F_bef",
                DIFFERENCE,
                ("X_bef", "X_aft"),
            ),
        ],
        start="F",
        features=("X_bef", "X_aft"),
    ),
    "capt-rep-diff": [
        *LOOKS,
        Box("l", 3, 0.5, "l_diff: mean\nover the cells", DIFFERENCE, ("X_diff",)),
        Box("dec", 4, 0.5, "LSTM 512, sees\n[word; v(l)]", DECODER, ("l",)),
    ],
    "capt-att": [
        *dates(RESNET),
        Box(
            "a", 2, 0.5, "one map a of\n[X_bef; X_aft]", DIFFERENCE, ("X_bef", "X_aft")
        ),
        Box("l_bef", 3, 0, "l_bef = Σ a × X_bef", DIFFERENCE, ("X_bef", "a")),
        Box("l_aft", 3, 1, "l_aft = Σ a × X_aft", DIFFERENCE, ("X_aft", "a")),
        Box("l", 4, 0.5, "l_bef, l_diff, l_aft", DIFFERENCE, ("l_bef", "l_aft")),
        Box("dec", 5, 0.5, "LSTM 512, sees\n[word; v(l)]", DECODER, ("l",)),
    ],
    "capt-dual-att": [
        *DUAL,
        Box("dec", 5, 0.5, "LSTM 512, sees\n[word; v(l)]", DECODER, ("l",)),
    ],
    "duda": [
        *DUAL,
        Box(
            "weigh", 5, 0, "LSTM_d 512 weighs\nthe three at each word", DECODER, ("l",)
        ),
        Box("dec", 6, 0.5, "LSTM_c 512, sees\n[word; l_t]", DECODER, ("l", "weigh")),
    ],
    "mccformer-s": transformer(
        [
            *tokens(RESNET),
            Box(
                "z",
                3,
                0.5,
                "+ date; all 2·N\ntokens together",
                DIFFERENCE,
                ("x_bef", "x_aft"),
            ),
            Box("enc", 4, 0.5, "self attention\n2 layers, 4 heads", DIFFERENCE, ("z",)),
            Box("join", 5, 0.5, "[x_bef; x_aft]\n1024 wide", DIFFERENCE, ("enc",)),
        ],
        layers=2,
        column=6,
        after=("join",),
    ),
    "mccformer-d": transformer(
        [
            *tokens(RESNET),
            Box("y_bef", 3.3, 0, "x_bef asks x_aft", DIFFERENCE, ("x_bef", "x_aft")),
            Box(
                "y_aft",
                3.3,
                1,
                "x_aft asks x_bef\n(same weights)",
                DIFFERENCE,
                ("x_aft", "x_bef"),
            ),
            Box("times", 3.3, -0.55, "2 layers", "none"),
            Box(
                "join",
                4.5,
                0.5,
                "[x_bef; x_aft]\n1024 wide",
                DIFFERENCE,
                ("y_bef", "y_aft"),
            ),
        ],
        layers=2,
        column=5.5,
        after=("join",),
    ),
    "rsiccformer-c": transformer(
        [
            *RSICC,
            Box(
                "join",
                5,
                0.5,
                "[x_bef; x_aft]\n1024 wide",
                DIFFERENCE,
                ("y_bef", "y_aft"),
            ),
        ],
        layers=1,
        column=6,
        after=("join",),
    ),
    "rsiccformer": transformer(
        [
            *RSICC,
            Box(
                "join",
                5,
                0.5,
                "[x_bef; x_aft]\nof each layer",
                DIFFERENCE,
                ("y_bef", "y_aft"),
            ),
            Box(
                "fuse", 6, 0.5, "z ← LN(Res(z + s_l))\n3 stages", DIFFERENCE, ("join",)
            ),
        ],
        layers=1,
        column=7,
        after=("fuse",),
    ),
    "psnet": transformer(
        [
            *tokens(VIT),
            Box("d", 3, 0.5, "d = x_aft − x_bef", DIFFERENCE, ("x_bef", "x_aft")),
            Box(
                "y_bef",
                4,
                0,
                "[x_bef; d], self\nattention → 512",
                DIFFERENCE,
                ("x_bef", "d"),
            ),
            Box(
                "y_aft",
                4,
                1,
                "[x_aft; x_aft − new x_bef],\nthe same weights",
                DIFFERENCE,
                ("x_aft", "d"),
            ),
            Box("times", 3.5, -0.55, "3 layers: 3 scales", "none"),
            Box(
                "scale",
                5,
                0.5,
                "each scale asks the\nother two, 1024 wide",
                DIFFERENCE,
                ("y_bef", "y_aft"),
            ),
            Box(
                "join",
                6,
                0.5,
                "3 scales,\nthe deepest first",
                DIFFERENCE,
                ("scale",),
            ),
        ],
        layers=3,
        column=7,
        after=("join",),
    ),
    "siamese": [
        *dates("EfficientNet-lite2, stages 3\nand 4: 832 × 8×8, frozen"),
        Box(
            "join",
            2,
            0.5,
            "LN; [x_bef; x_aft;\nx_aft − x_bef] → 256",
            DIFFERENCE,
            ("X_bef", "X_aft"),
        ),
        Box("places", 3, 0.5, "+ row, column", DIFFERENCE, ("join",)),
        Box("self", 4, 0.5, "self attention", DIFFERENCE, ("places",)),
        Box("times", 4, -0.05, "2 layers", "none"),
        Box("dec", 5, 0.5, "transformer\n256, 1 layer", DECODER, ("self",)),
    ],
}


def draw(boxes: list[Box], path: Path) -> None:
    """Write one diagram; data flow from left to right."""
    boxes = [*boxes, _caption(boxes)]
    where = {box.name: (box.column * COLUMN, -box.row * ROW) for box in boxes}
    left, right = min(x for x, _ in where.values()), max(x for x, _ in where.values())
    low, high = min(y for _, y in where.values()), max(y for _, y in where.values())
    size = (right - left + WIDTH + 0.3, high - low + HEIGHT + 0.3)
    figure = plt.figure(figsize=(0.8 * size[0], 0.8 * size[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left - WIDTH / 2 - 0.15, right + WIDTH / 2 + 0.15)
    axes.set_ylim(low - HEIGHT / 2 - 0.15, high + HEIGHT / 2 + 0.15)
    axes.axis("off")
    for box in boxes:
        x, y = where[box.name]
        if box.colour != "none":
            corner = (x - WIDTH / 2, y - HEIGHT / 2)
            style = "round,pad=0,rounding_size=0.08"
            axes.add_patch(
                FancyBboxPatch(
                    corner,
                    WIDTH,
                    HEIGHT,
                    boxstyle=style,
                    fc=box.colour,
                    ec="#555555",
                    lw=0.8,
                )
            )
        axes.text(x, y, box.text, ha="center", va="center", fontsize=7.5, zorder=3)
        for source in box.after:
            x0, y0 = where[source]
            axes.annotate(
                "",
                (x - WIDTH / 2, y + 0.12 * (y0 > y) - 0.12 * (y0 < y)),
                (x0 + WIDTH / 2, y0),
                arrowprops={
                    "arrowstyle": "-|>",
                    "lw": 0.9,
                    "color": "#555555",
                    "shrinkA": 0,
                    "shrinkB": 0,
                },
            )
    figure.savefig(
        path,
        metadata={"Date": None} if path.suffix == ".svg" else None,
        facecolor="white",
    )
    plt.close(figure)


def _caption(boxes: list[Box]) -> Box:
    last = boxes_by_name(boxes)["dec"]
    return Box("said", last.column + 1, last.row, "the caption", DATA, ("dec",))


def boxes_by_name(boxes: list[Box]) -> dict[str, Box]:
    return {box.name: box for box in boxes}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Draw the diagrams of docs/systems.md."
    )
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS)
    parser.add_argument("--format", default="svg")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "sencap", "font.family": "DejaVu Sans"}
    ):
        for name, boxes in SYSTEMS.items():
            draw(boxes, arguments.folder / f"{name}.{arguments.format}")


if __name__ == "__main__":
    main()
