"""From a seed to a scene: the setting, the change, the backdrop, the woods."""

from __future__ import annotations

import numpy as np

from sencap.errors import SettingsError, nearest
from sencap.synthetic import layout
from sencap.synthetic.changes import CHANGE_KINDS
from sencap.synthetic.facts import Facts, gather
from sencap.synthetic.parts import SOILS, Unplaced, add_backdrop
from sencap.synthetic.world import DrawnScene

# Streams of random numbers of one pair: (seed, index, stream, ...). Each is drawn by
# itself, so that words need no scene drawn again, and a look leaves the scene as it is.
SCENE, LOOK, SENSOR, WORDS, CHOICE = range(5)
ATTEMPTS = 60


def random_for(seed: int, index: int, stream: int, *more: int) -> np.random.Generator:
    """The generator of one stream of one pair."""
    return np.random.default_rng((seed, index, stream, *more))


def pick_kind(rng: np.random.Generator) -> str:
    """A kind of change, in about the shares of LEVIR-CC."""
    weights = np.array([weight for _, weight in CHANGE_KINDS.values()])
    return list(CHANGE_KINDS)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _setting(rng: np.random.Generator, kind: str) -> tuple[float, float]:
    """The wooded share and the usual crown radius in pixels."""
    # Three in ten scenes lie in woods; where trees are to be cleared, the draw is kept
    # to those with many.
    draw = float(rng.random())
    if kind == "trees_cleared":
        draw *= 0.5
    if draw < 0.3:
        cover = float(rng.uniform(0.75, 1.0))
    elif draw < 0.55:
        cover = float(rng.uniform(0.4, 0.75))
    elif draw < 0.8:
        cover = float(rng.uniform(0.08, 0.4))
    else:
        cover = float(rng.uniform(0.0, 0.06))
    return cover, float(rng.uniform(3.2, 7.8))


def compose(seed: int, index: int, kind: str) -> tuple[DrawnScene, Facts]:
    """The scene of a kind, drawn again until its change fits into the frame and can be
    seen.

    Raises:
        SettingsError: an unknown kind.
    """
    if kind not in CHANGE_KINDS:
        raise SettingsError(
            f"kind={kind!r} is no kind of synthetic change; {nearest(kind, CHANGE_KINDS)}"
        )
    change = CHANGE_KINDS[kind][0]
    for attempt in range(ATTEMPTS):
        rng = random_for(seed, index, SCENE, attempt)
        # Lighter or darker by one offset, of another hue by a small one for each
        # channel.
        soil = (
            np.array(SOILS[int(rng.integers(len(SOILS)))])
            + rng.normal(0, 9)
            + rng.normal(0, 2.5, 3)
        )
        scene = DrawnScene(
            kind=kind,
            texture_seed=int(rng.integers(2**31)),
            soil=(int(soil[0]), int(soil[1]), int(soil[2])),
            # Both parameters below 1: bare and green ground are more frequent than a
            # mix.
            grass=float(rng.beta(0.8, 0.8)),
        )
        cover, size = _setting(rng, kind)
        try:
            change(rng, scene)
            add_backdrop(rng, scene)
        except Unplaced:
            continue
        layout.plant_woods(rng, scene, cover=cover, size=size)
        facts = gather(scene)
        # A change that lies outside the frame, or that nobody would see, is no change
        # for a caption.
        if facts.visible:
            return scene, facts
    raise AssertionError(f"no scene of kind {kind!r} for seed {seed}, index {index}")
