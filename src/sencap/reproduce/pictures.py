"""The paper's figures, drawn from the runs of an experiment: captions, maps and
sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sencap.data.entries import CaptionedPair
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
from sencap.figures.maps import ColourScale
from sencap.images import read_pair
from sencap.predictor import Predictor
from sencap.reproduce.experiments import SWEEPS, Drawing

# As many as the paper's Fig. 3 shows.
_PAIRS = 4
LABELS = {"dimension": BY_DIMENSION, "beam": BY_BEAM, "depth": BY_DEPTH}
# Fig. 4 and 5 show each map as it is, then normalised.
PICTURE_SCALES: tuple[ColourScale, ...] = ("values", "own", "common")
DRAWN_PARTS = ("sfe_bef", "sfe_aft", "cagd_bef", "cagd_aft", "memory")
Predictors = Mapping[str, Predictor]
_Drawer = Callable[[Path, Predictors, Sequence[CaptionedPair], Mapping[str, Any]], Path]


def choose_pairs(
    pairs: Sequence[CaptionedPair], names: Sequence[str]
) -> list[CaptionedPair]:
    """The pairs of these file names; without names three changed ones and an unchanged
    one, evenly spread.

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
                    f"pairs: there is no pair {name!r} in the scored split; "
                    f"{nearest(name, known)}"
                )
        return [known[name] for name in names]
    # Without flags nobody knows which pairs changed.
    if any(pair.changed is None for pair in pairs):
        return _spread(pairs, _PAIRS)
    changed = [pair for pair in pairs if pair.changed]
    unchanged = [pair for pair in pairs if not pair.changed]
    return _spread(changed, _PAIRS - 1) + _spread(unchanged, 1)


def _spread(pairs: Sequence[CaptionedPair], count: int) -> list[CaptionedPair]:
    """So many pairs, the middles of as many equal parts; none of none."""
    if not pairs:
        return []
    return [pairs[(2 * part + 1) * len(pairs) // (2 * count)] for part in range(count)]


def draw_figure(
    drawing: Drawing,
    path: Path,
    *,
    predictors: Predictors,
    pairs: Sequence[CaptionedPair],
    result: Mapping[str, Any],
) -> Path:
    """One of the figures into ``path``; predictors and rows of ``result`` have the
    rows' names."""
    return DRAW[drawing](path, predictors, pairs, result)


def _captions(
    path: Path,
    predictors: Predictors,
    pairs: Sequence[CaptionedPair],
    _: Mapping[str, Any],
) -> Path:
    images = [read_pair(pair.before, pair.after) for pair in pairs]
    said = {
        name: predictor.caption_pairs(images) for name, predictor in predictors.items()
    }
    compared = []
    for number, pair in enumerate(pairs):
        references = list(map(" ".join, pair.captions))
        captions = {name: of_system[number].text for name, of_system in said.items()}
        compared.append(ComparedPair(images[number], references, captions, pair.name))
    return side_by_side(compared, path)


def _initialisations(
    path: Path,
    predictors: Predictors,
    pairs: Sequence[CaptionedPair],
    _: Mapping[str, Any],
) -> Path:
    rows = []
    for pair in pairs:
        memories = {}
        for name, predictor in predictors.items():
            memories[name] = explain(pair.before, pair.after, predictor).parts["memory"]
        rows.append(MapRow(read_pair(pair.before, pair.after), memories))
    return attention_by_initialisation(rows, path, scales=PICTURE_SCALES)


def _stages(
    path: Path,
    predictors: Predictors,
    pairs: Sequence[CaptionedPair],
    _: Mapping[str, Any],
) -> Path:
    # Fig. 5 has one row, SEN's.
    (predictor,) = predictors.values()
    rows = []
    for pair in pairs:
        parts = explain(pair.before, pair.after, predictor).parts
        stages = {name: parts[name] for name in DRAWN_PARTS}
        rows.append(MapRow(read_pair(pair.before, pair.after), stages))
    return attention_by_stage(rows, path, scales=PICTURE_SCALES)


def _sweeps(
    path: Path, _: Predictors, __: Sequence[CaptionedPair], result: Mapping[str, Any]
) -> Path:
    sweeps = []
    for key, rows in SWEEPS.items():
        points = []
        for setting, row in rows.items():
            found = result["rows"][row.name]
            # Without METEOR (no Java) there is no S*m, and the mean of what is there is
            # none either.
            every = [seed.get("S*m") for seed in found["seeds"].values()]
            scores = [score for score in every if score is not None]
            if scores:
                # A wider search has no more parameters.
                parameters = None if key == "beam" else found["parameters"]
                points.append(SweepPoint(setting, scores, parameters, found["speeds"]))
        if points:
            sweeps.append(Sweep(LABELS[key], points))
    if not sweeps:
        raise SettingsError(
            "no run has an S*m, because METEOR was missing; install Java 8 or later "
            "and delete the reports"
        )
    note = f"scale {result['scale']}, {result['environment']['device']}"
    # If some rows start from random weights and others do not, the picture says which.
    random = [name for name, row in result["rows"].items() if row["start"] == "random"]
    if 0 < len(random) < len(result["rows"]):
        note += f"; from random weights: {', '.join(random)}"
    return sweep_plots(sweeps, path, note=note)


DRAW: dict[Drawing, _Drawer] = {
    "captions": _captions,
    "initialisations": _initialisations,
    "stages": _stages,
    "sweeps": _sweeps,
}
