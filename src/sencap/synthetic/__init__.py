"""Synthetic image pairs with captions: rendered overhead scenes at 0.5 m per pixel, in
LEVIR-CC's manner.

    pair = render_pair(seed=0, index=7)        # before, after, mask, captions, changed, kind
    write_dataset(Path("synth"), pairs=1000)   # LEVIR-CC's layout on disk
    images = render_seasons(seed=7)            # one place in four dated seasons

The modules, bottom up: geometry, noise · world (what a scene holds) · houses, layout
(where things stand) · look, canopy, draw, render (how it looks) · facts, phrases,
words, captions (what is said) · parts, large, changes (the kinds) · compose (seed to
scene) · pair (the public functions) · write (data set on disk).
"""

from sencap.synthetic.changes import CHANGE_KINDS as _KINDS
from sencap.synthetic.pair import SyntheticPair, render_pair, render_seasons
from sencap.synthetic.write import write_dataset

KIND_NAMES: tuple[str, ...] = tuple(_KINDS)

__all__ = [
    "KIND_NAMES",
    "SyntheticPair",
    "render_pair",
    "render_seasons",
    "write_dataset",
]
