"""Which variants each table and figure of the paper compares, with the paper's figures
beside them.

A `Row` names what differs from SEN as the paper trains it; everything else comes from
the scale (`sencap.reproduce.scales`). Keys are settings as `sencap train` and `sencap
pretrain` name them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sencap.errors import SettingsError, nearest
from sencap.evaluation.names import METRICS

Drawing = Literal["captions", "initialisations", "stages", "sweeps"]
# The paper gives them for some systems, and names no GPU.
SIZE = ("parameters / M", "pairs/s")

# How an extractor may start: one of these, or a pre-training run by the settings that
# differ from the paper's recipe (there ``optimisation.epochs`` is a share of the
# scale's epochs).
RANDOM, IMAGENET, SECO = "random", "imagenet", "seco-weights"
DEFAULT, DEFAULT_3C = "default", "default-3c"
# The paper's own recipe, SEN's.
_SIX_CHANNELS = {"method": "moco-6c", "order": "ordered", "season": "augment"}
PRETRAININGS: dict[str, dict[str, Any]] = {
    "6c": _SIX_CHANNELS,
    "6c-ordered-random": {"method": "moco-6c", "order": "ordered", "season": "random"},
    "6c-unordered-augment": {
        "method": "moco-6c",
        "order": "unordered",
        "season": "augment",
    },
    "6c-unordered-random": {
        "method": "moco-6c",
        "order": "unordered",
        "season": "random",
    },
    "3c": {"method": "moco-3c"},
    "3c-from-imagenet": {"method": "moco-3c", "init": IMAGENET},
    "6c-from-imagenet": {**_SIX_CHANNELS, "init": IMAGENET},
    "seco": {"method": "seco"},
}
# Of the paper's 300 epochs, so that a smaller scale shortens all of them alike.
for _share in (100, 200, 400, 500):
    _epochs = {"method": "moco-6c", "optimisation.epochs": _share / 300}
    PRETRAININGS[f"6c-{_share}-epochs"] = _epochs
for _backbone in ("resnet18", "resnet34", "resnet101"):
    PRETRAININGS[f"6c-{_backbone}"] = {**_SIX_CHANNELS, "backbone": _backbone}


@dataclass(frozen=True)
class TableRow:
    """One line of a table: its name, what differs from SEN, and the paper's figures
    (metrics × 100).

    settings: of `sencap train`. init: how the extractor starts: ``random``,
    ``imagenet``, ``seco-weights`` (the published ones; the row is left out where they
    are not given), a key of `PRETRAININGS`, or ``default``: as the scale and the flags
    say (``default-3c``: of networks that see one date, so 3-channel pre-training where
    the scale's default is 6-channel). A row of SEN with a backbone that is not the
    scale's starts from a pre-training of its own at the paper's scale, else from random
    weights: files of weights fit the scale's backbone. beam: of the evaluation's
    search. compared: another system than SEN and its structures, with a frozen
    extractor.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)
    init: str = DEFAULT
    beam: int = 3
    compared: bool = False


@dataclass(frozen=True)
class Experiment:
    """A table or a figure: its title, its rows in the paper's order, and what is drawn
    of them, if anything."""

    title: str
    rows: tuple[TableRow, ...]
    drawing: Drawing | None = None


def _figures(*values: float) -> dict[str, float]:
    """The eight metrics, and for some systems millions of parameters and pairs per
    second."""
    # Eight figures, or ten with parameters and speed.
    names = METRICS + SIZE if len(values) > len(METRICS) else METRICS
    return dict(zip(names, values, strict=True))


def _compared(name: str, system: str, *figures: float) -> TableRow:
    """A system that SEN is compared with, and the paper's figures of it."""
    return TableRow(
        name, {"system": system}, _figures(*figures), IMAGENET, compared=True
    )


def _score(value: float) -> dict[str, float]:
    return {"S*m": value}


TABLE_1 = (
    _compared(
        "Capt-Rep-Diff",
        "capt-rep-diff",
        72.90,
        61.98,
        53.62,
        47.41,
        34.47,
        65.64,
        110.57,
        64.52,
    ),
    _compared(
        "Capt-Att", "capt-att", 77.64, 67.40, 59.24, 53.15, 36.58, 69.73, 121.22, 70.17
    ),
    _compared(
        "Capt-Dual-Att",
        "capt-dual-att",
        79.51,
        70.57,
        63.23,
        57.46,
        36.56,
        70.69,
        124.42,
        72.28,
    ),
    _compared("DUDA", "duda", 81.44, 72.22, 64.24, 57.79, 37.15, 71.04, 124.32, 72.58),
    _compared(
        "MCCFormer-S",
        "mccformer-s",
        79.90,
        70.26,
        62.68,
        56.68,
        36.17,
        69.46,
        120.39,
        70.68,
        69.0,
        12.9,
    ),
    _compared(
        "MCCFormer-D",
        "mccformer-d",
        80.42,
        70.87,
        62.86,
        56.38,
        37.29,
        70.32,
        124.44,
        72.11,
        69.0,
        12.4,
    ),
    _compared(
        "RSICCformer_c",
        "rsiccformer-c",
        83.09,
        74.32,
        66.66,
        60.44,
        38.76,
        72.63,
        130.00,
        75.46,
        56.2,
        15.0,
    ),
    _compared(
        "PSNet", "psnet", 83.86, 75.13, 67.89, 62.11, 38.80, 73.60, 132.62, 76.78
    ),
    TableRow(
        "SEN",
        {},
        _figures(85.10, 77.05, 70.01, 64.09, 39.59, 74.57, 136.02, 78.57, 39.9, 23.7),
    ),
)

# The paper's "SSL4EO 3C" and "6C" are contrastive on SSL4EO-S12; ours, on whatever
# --places names.
TABLE_2 = (
    # Without weights the authors' code freezes nothing, and its network starts as
    # torchvision's do.
    TableRow(
        "Random",
        {"extractor.fine_tune_from": "conv1", "extractor.zero_last_norm": False},
        _score(74.68),
        RANDOM,
    ),
    TableRow("ImageNet 3C", {}, _score(77.17), IMAGENET),
    TableRow("contrastive 3C", {}, _score(77.83), "3c"),
    TableRow("contrastive 6C", {}, _score(78.57), "6c"),
)


def _switches(
    part: str, first: str, second: str, scores: tuple[float, ...]
) -> tuple[TableRow, ...]:
    """Neither, the one, the other, both: as Tables V and VI have them."""
    names = {
        "shared_convolution": "SC",
        "channel_attention": "CA",
        "cross_attention": "cross",
        "self_attention": "self",
    }
    both = (first, second)
    rows = []
    for on, score in zip(((), (first,), (second,), both), scores, strict=True):
        name = " + ".join(names[key] for key in on) or "none"
        # The rows name what is on, the settings what is off.
        off = {f"{part}.{key}": False for key in both if key not in on}
        rows.append(TableRow(name, off, _score(score)))
    return tuple(rows)


def _layers(*scores: float) -> tuple[TableRow, ...]:
    rows = []
    for (e, d), score in zip(
        itertools.product((1, 2, 3), repeat=2), scores, strict=True
    ):
        layers = {"difference.layers": e, "decoder.layers": d}
        rows.append(TableRow(f"N_e = {e}, N_d = {d}", layers, _score(score)))
    return tuple(rows)


# As wide as D = 512, ResNet-18 and -34 have no P in the paper's code. Those that need it
# leave the setting as it is, so that their runs are those of other tables.
_WITHOUT_P = {"extractor.projection": "where-needed"}
# Fig. 6: what is swept, and its rows by the value on the axis. Its three curves meet in
# SEN as the paper has it.
SWEEPS: dict[str, dict[int, TableRow]] = {
    "dimension": {
        d: TableRow(f"D = {d}", {"dimension": d}) for d in (128, 256, 512, 1024)
    },
    "beam": {
        beam: TableRow(f"beam size {beam}", {}, beam=beam) for beam in (1, 2, 3, 4, 5)
    },
    "depth": {
        depth: TableRow(
            f"ResNet-{depth}", {"extractor.backbone": f"resnet{depth}", **more}
        )
        for depth, more in (
            (18, _WITHOUT_P),
            (34, _WITHOUT_P),
            (50, {}),
            (101, {}),
        )
    },
}
# In Fig. 3.
_SHOWN = ("DUDA", "MCCFormer-D", "RSICCformer_c", "PSNet", "SEN")

EXPERIMENTS: dict[str, Experiment] = {
    "table1": Experiment("Table I: the systems", TABLE_1),
    "table2": Experiment(
        "Table II: how the extractor starts",
        TABLE_2,
    ),
    "starts": Experiment(
        "Does pre-training help? Table II, and contrastive pre-training that itself "
        "starts from ImageNet",
        (
            *TABLE_2,
            TableRow("ImageNet, then contrastive 3C", {}, {}, "3c-from-imagenet"),
            TableRow("ImageNet, then contrastive 6C", {}, {}, "6c-from-imagenet"),
        ),
    ),
    "table3": Experiment(
        "Table III: methods of contrastive pre-training",
        (
            TableRow("SeCo, its own weights (3C)", {}, _score(77.60), SECO),
            TableRow("MoCo-v2 (3C)", {}, _score(77.83), "3c"),
            TableRow("SeCo on these places (3C)", {}, _score(78.30), "seco"),
            TableRow("SEN (6C)", {}, _score(78.57), "6c"),
        ),
    ),
    "table4": Experiment(
        "Table IV: structures of the extractor",
        (
            TableRow(
                "Single-sub", {"system": "sen-single-sub"}, _score(75.83), DEFAULT_3C
            ),
            TableRow("Dual", {"system": "sen-dual"}, _score(76.88), DEFAULT_3C),
            TableRow("Single-cat", {}, _score(78.57)),
        ),
    ),
    "table5": Experiment(
        "Table V: shallow feature embedding (shared convolution SC, channel "
        "attention CA)",
        _switches(
            "difference",
            "shared_convolution",
            "channel_attention",
            (76.25, 76.24, 77.71, 78.57),
        ),
    ),
    "table6": Experiment(
        "Table VI: cross-attention guided difference (cross attention, self attention)",
        _switches(
            "difference",
            "cross_attention",
            "self_attention",
            (76.24, 77.34, 77.91, 78.57),
        ),
    ),
    "table7": Experiment(
        "Table VII: pairs of dates (order) and views (season)",
        (
            TableRow("unordered, random", {}, _score(76.61), "6c-unordered-random"),
            TableRow("unordered, augment", {}, _score(77.38), "6c-unordered-augment"),
            TableRow("ordered, random", {}, _score(77.47), "6c-ordered-random"),
            TableRow("ordered, augment", {}, _score(78.57), "6c"),
        ),
    ),
    "table8": Experiment(
        "Table VIII: epochs of pre-training, as shares of the paper's 300",
        (
            TableRow("100", {}, _score(76.68), "6c-100-epochs"),
            TableRow("200", {}, _score(78.11), "6c-200-epochs"),
            TableRow("300", {}, _score(78.57), "6c"),
            TableRow("400", {}, _score(77.70), "6c-400-epochs"),
            TableRow("500", {}, _score(78.00), "6c-500-epochs"),
        ),
    ),
    "table9": Experiment(
        "Table IX: the first stage that is fine-tuned",
        tuple(
            TableRow(stage, {"extractor.fine_tune_from": stage}, _score(score))
            for stage, score in (
                ("conv1", 78.22),
                ("conv2_x", 78.57),
                ("conv3_x", 76.76),
                ("conv4_x", 75.13),
                ("conv5_x", 75.54),
                ("none", 67.86),
            )
        ),
    ),
    "table10": Experiment(
        "Table X: layers of the difference encoder (N_e) and of the decoder (N_d)",
        _layers(76.97, 76.87, 75.22, 78.57, 77.25, 77.04, 76.81, 76.53, 76.38),
    ),
    "fig3": Experiment(
        "Fig. 3: captions of several systems side by side",
        tuple(row for row in TABLE_1 if row.name in _SHOWN),
        "captions",
    ),
    "fig4": Experiment(
        "Fig. 4: maps by how the extractor starts",
        TABLE_2,
        "initialisations",
    ),
    "fig5": Experiment(
        "Fig. 5: maps after SFE and after CAGD", (TableRow("SEN"),), "stages"
    ),
    "fig6": Experiment(
        "Fig. 6: width, beam size and depth",
        tuple(itertools.chain.from_iterable(rows.values() for rows in SWEEPS.values())),
        "sweeps",
    ),
}


def experiment_named(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        SettingsError: there is none, with the nearest.
    """
    if name not in EXPERIMENTS:
        raise SettingsError(
            f"{name!r} is no table or figure of the paper; {nearest(name, EXPERIMENTS)}"
        )
    return EXPERIMENTS[name]
