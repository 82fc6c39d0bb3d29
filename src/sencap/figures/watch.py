"""The watching figures over the epochs as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sencap.errors import MissingDependencyError
from sencap.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Epoch = Mapping[str, float]
SERIES = (("", "backbone's features", "C0"), ("_embedding", "embeddings", "C1"))


def plot_watch(
    path: Path, epochs: Sequence[Epoch], random: Epoch, *, chance: float
) -> Path:
    """Draw loss, recall@1 and spread over the epochs as a PNG; dashed: the network of
    random weights.

    ``epochs`` are run.json's, ``random`` its figures of random weights, ``chance`` 1 /
    held-out places.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise MissingDependencyError(
            "the picture of the watching figures needs matplotlib: pip install "
            "'sencap[figures]'"
        ) from error
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    losses, recalls, spreads = figure.subplots(1, 3)
    # The first entry is of the network before training, which has no loss.
    trained = [epoch for epoch in epochs if "loss" in epoch]
    losses.plot([e["epoch"] for e in trained], [e["loss"] for e in trained], "C2.-")
    _lines(recalls, epochs, random, "recall")
    # A guess among the held-out places is right once in their number.
    recalls.axhline(chance, color="0.5", linestyle=":", label=f"chance {chance:.3g}")
    recalls.set_ylim(0, 1.02)
    _lines(spreads, epochs, random, "spread")
    spreads.set_ylim(0, 1.02)
    for axes, title in (
        (losses, "loss (InfoNCE)"),
        (recalls, "recall@1: a place in another season"),
        (spreads, "spread (0: collapse)"),
    ):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epochs")
        axes.grid(alpha=0.3)
    lines, labels = recalls.get_legend_handles_labels()  # the spread's are the same
    figure.legend(
        lines, labels, loc="outside lower center", ncols=len(labels), fontsize=8
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return write_whole(path, picture.getvalue())


def _lines(axes: Axes, epochs: Sequence[Epoch], random: Epoch, name: str) -> None:
    # Recall and spread are not measured at every epoch.
    measured = [epoch for epoch in epochs if name in epoch]
    for suffix, label, colour in SERIES:
        key = name + suffix
        axes.plot(
            [e["epoch"] for e in measured],
            [e[key] for e in measured],
            f"{colour}.-",
            label=label,
        )
        axes.axhline(
            random[key], color=colour, linestyle="--", label=f"random weights, {label}"
        )
