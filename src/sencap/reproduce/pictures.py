"""The paper's figures, drawn from the runs of an experiment: captions, maps and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sencap.data.levir_cc import CaptionedPair
from sencap.errors import SettingsError, nearest
from sencap.explain import explain
from sencap.figures import (
    BY_BEAM,
    BY_DEPTH,
    BY_DIMENSION,
    ComparedPair,
    MapRow,
    Sweep,
    SweepPoint,
    attention_by_initialisation,
    attention_by_stage,
    side_by_side,
    sweep_plots,
)
from sencap.figures.maps import Scale
from sencap.images import read_pair
from sencap.predictor import Predictor
from sencap.reproduce.experiments import SWEEPS, Picture

PAIRS = 4  # as many as the paper's Fig. 3 shows
LABELS = {"dimension": BY_DIMENSION, "beam": BY_BEAM, "depth": BY_DEPTH}
PICTURE_SCALES: tuple[Scale, ...] = (
    "values",
    "own",
    "common",
)  # as it is, then normalised: the paper's Fig. 4 and 5
STAGES = ("sfe_bef", "sfe_aft", "cagd_bef", "cagd_aft", "memory")

Predictors = Mapping[str, Predictor]


def choose_pairs(pairs: Sequence[CaptionedPair], names: Sequence[str]) -> list[CaptionedPair]:
    """The pairs of these file names; without names three changed ones and an unchanged one, evenly
    spread.

    Where it is not known which pairs changed, they are four of all.

    Nobody picks them by how well they come out: the choice depends on the data alone.

    Raises:
        SettingsError: no pair of that name, with the nearest.
    """
    if names:
        known = {pair.name: pair for pair in pairs}
        for name in names:
            if name not in known:
                raise SettingsError(
                    f"pairs: there is no pair {name!r} in the scored split; {nearest(name, known)}"
                )
        return [known[name] for name in names]
    chosen = []
    told = all(pair.changed is not None for pair in pairs)
    counts = {True: PAIRS - 1, False: 1} if told else {None: PAIRS}
    for changed, count in counts.items():
        alike = [pair for pair in pairs if pair.changed == changed or not told]
        chosen += [alike[(2 * i + 1) * len(alike) // (2 * count)] for i in range(count) if alike]
    return chosen


def draw(
    picture: Picture,
    path: Path,
    *,
    predictors: Predictors,
    pairs: Sequence[CaptionedPair],
    result: Mapping[str, Any],
) -> Path:
    """One of the figures into ``path``; predictors and rows of ``result`` have the rows' names."""
    return DRAW[picture](path, predictors, pairs, result)


def _captions(
    path: Path, predictors: Predictors, pairs: Sequence[CaptionedPair], _: Mapping[str, Any]
) -> Path:
    images = [read_pair(pair.before, pair.after) for pair in pairs]
    said = {name: predictor.caption_pairs(images) for name, predictor in predictors.items()}
    compared = [
        ComparedPair(
            images[i],
            [" ".join(words) for words in pair.captions],
            {name: captions[i].text for name, captions in said.items()},
            pair.name,
        )
        for i, pair in enumerate(pairs)
    ]
    return side_by_side(compared, path)


def _initialisations(
    path: Path, predictors: Predictors, pairs: Sequence[CaptionedPair], _: Mapping[str, Any]
) -> Path:
    rows = [
        MapRow(
            read_pair(pair.before, pair.after),
            {
                name: explain(pair.before, pair.after, p).parts["memory"]
                for name, p in predictors.items()
            },
        )
        for pair in pairs
    ]
    return attention_by_initialisation(rows, path, scales=PICTURE_SCALES)


def _stages(
    path: Path, predictors: Predictors, pairs: Sequence[CaptionedPair], _: Mapping[str, Any]
) -> Path:
    (predictor,) = predictors.values()
    rows = []
    for pair in pairs:
        parts = explain(pair.before, pair.after, predictor).parts
        rows.append(
            MapRow(read_pair(pair.before, pair.after), {name: parts[name] for name in STAGES})
        )
    return attention_by_stage(rows, path, scales=PICTURE_SCALES)


def _sweeps(
    path: Path, _: Predictors, __: Sequence[CaptionedPair], result: Mapping[str, Any]
) -> Path:
    sweeps = []
    for key, rows in SWEEPS.items():
        points = []
        for setting, row in rows.items():
            found = result["rows"][row.name]
            # without METEOR (no Java) there is no S*m, and the mean of what is there is no S*m
            # either
            scores = [
                seed["S*m"] for seed in found["seeds"].values() if seed.get("S*m") is not None
            ]
            if scores:
                parameters = None if key == "beam" else found["parameters"]
                points.append(SweepPoint(setting, scores, parameters, found["speeds"]))
        if points:
            sweeps.append(Sweep(LABELS[key], points))
    if not sweeps:
        raise SettingsError(
            "no run has an S*m, because METEOR was missing; install Java 8 or later and delete "
            "the reports"
        )
    note = f"scale {result['scale']}, {result['environment']['device']}"
    starts = {name: row["start"] for name, row in result["rows"].items()}
    if "random" in starts.values() and set(starts.values()) != {"random"}:
        note += f"; from random weights: {', '.join(name for name, start in starts.items() if start == 'random')}"
    return sweep_plots(sweeps, path, note=note)


DRAW: dict[
    Picture, Callable[[Path, Predictors, Sequence[CaptionedPair], Mapping[str, Any]], Path]
] = {
    "captions": _captions,
    "initialisations": _initialisations,
    "stages": _stages,
    "sweeps": _sweeps,
}
