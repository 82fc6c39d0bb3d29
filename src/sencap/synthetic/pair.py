"""The public functions: one captioned pair, and one place in four dated seasons."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.errors import SettingsError
from sencap.synthetic.canopy import canopies
from sencap.synthetic.captions import describe, no_change
from sencap.synthetic.compose import (
    CHOICE,
    LOOK,
    SENSOR,
    WORDS,
    compose,
    pick_kind,
    random_for,
)
from sencap.synthetic.facts import Facts
from sencap.synthetic.geometry import FRAME
from sencap.synthetic.look import SEASONS, develop, make_look
from sencap.synthetic.render import radiance, render_dates, render_mask
from sencap.synthetic.world import DrawnScene

# First and last day that each season's image may have, as (month, day, days after it).
SEASON_STARTS = {
    "spring": (3, 20, 60),
    "summer": (6, 25, 60),
    "autumn": (10, 10, 50),
    "winter": (12, 20, 60),
}
SMALLEST = 32


@dataclass(frozen=True)
class SyntheticPair:
    """A rendered pair and what is true of it.

    `before` and `after` are (256, 256, 3) uint8 RGB, `captions` five sentences in lower
    case without punctuation, `changed` whether anything but season, light, sensor and
    cars differs, `kind` the kind of change ("unchanged" if none).

    `mask` (256, 256) uint8 is 255 where a building was built or torn down, 128 where
    paved ground was (a road, path, driveway, parking lot or pool), else 0. Trees, water
    and cleared ground are not in it: pairs of the kinds trees_cleared and lake_formed
    have changed, and their mask is 0.
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    captions: tuple[str, ...]
    changed: bool
    kind: str
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Plan:
    """A pair before it is drawn: its scene and, if it changes, the facts of its
    change."""

    scene: DrawnScene
    facts: Facts | None
    kind: str


def _check(seed: int, index: int, size: int) -> None:
    """Refuse what no generator of random numbers or image can take."""
    if seed < 0 or index < 0:
        raise SettingsError(f"seed={seed} and index={index} must be 0 or more")
    if size < SMALLEST:
        raise SettingsError(
            f"size={size} pixels is too small for a scene; give at least {SMALLEST}"
        )


def plan_pair(
    seed: int, index: int, *, changed: bool | None = None, kind: str | None = None
) -> Plan:
    """Compose a pair without drawing it. For the arguments and errors see
    `render_pair`."""
    rng = random_for(seed, index, CHOICE)
    # All of these are drawn, whether they are used or not, so that a given kind or flag
    # leaves the rest of the pair as it is.
    coin, freeze_at = rng.random() < 0.5, int(rng.integers(2))
    drawn = pick_kind(rng)
    changed = (kind is not None or bool(coin)) if changed is None else changed
    scene, facts = compose(seed, index, kind or drawn)
    if changed:
        return Plan(scene, facts, facts.kind)
    # An unchanged pair is a changed scene that stands still, as before or as after: so
    # the two classes show the same kinds of places.
    return Plan(scene.frozen(freeze_at), None, "unchanged")


def captions_of(seed: int, index: int, plan: Plan) -> tuple[str, ...]:
    """The five sentences of a planned pair."""
    words = random_for(seed, index, WORDS)
    return no_change(words) if plan.facts is None else describe(words, plan.facts)


def _resized(
    image: NDArray[np.uint8],
    size: int,
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> NDArray[np.uint8]:
    """The image at another number of pixels."""
    if size == FRAME:
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), resampling), np.uint8)


def render_pair(
    seed: int,
    index: int,
    *,
    changed: bool | None = None,
    kind: str | None = None,
    size: int = 256,
) -> SyntheticPair:
    """Draw one pair; the same arguments give the same pixels and words.

    `changed` None flips a fair coin (a given `kind` then means changed); `kind` is one
    of ``KIND_NAMES``, and with ``changed=False`` the kind of scene that is frozen. The
    scene is 128 m wide; another `size` than 256 resamples it.

    Raises:
        SettingsError: a negative seed or index, an unknown kind, or a size below 32.
    """
    _check(seed, index, size)
    plan = plan_pair(seed, index, changed=changed, kind=kind)
    # Season, light and sensor are drawn for each date by itself, from a stream of its
    # own: the words and the scene do not depend on them.
    look_rng = random_for(seed, index, LOOK)
    looks = (make_look(look_rng, 0), make_look(look_rng, 1))
    before, after = render_dates(random_for(seed, index, SENSOR), plan.scene, looks)
    mask = render_mask(plan.scene, looks)
    return SyntheticPair(
        before=_resized(before, size),
        after=_resized(after, size),
        captions=captions_of(seed, index, plan),
        changed=plan.facts is not None,
        kind=plan.kind,
        # The nearest label, since a mean of two would be another class.
        mask=_resized(mask, size, Image.Resampling.NEAREST),
    )


def render_seasons(seed: int, size: int = 256) -> list[tuple[str, NDArray[np.uint8]]]:
    """Draw one place in spring, summer, autumn and winter of one year, for contrastive
    pre-training.

    Returns four (date, image), oldest first: the date as 'YYYY-MM-DD', the image (size,
    size, 3) uint8 RGB. Between them the vegetation, the light, the sensor and the cars
    differ, the built things do not.

    Raises:
        SettingsError: a negative seed, or a size below 32.
    """
    _check(seed, 0, size)
    # The place as it stands after its change, at all four dates. 4 keeps its looks
    # apart from those of the pair of this seed.
    scene = plan_pair(seed, 0, changed=True).scene.frozen(1)
    rng = random_for(seed, 0, LOOK, 4)
    year = int(rng.integers(2016, 2024))
    # A frozen scene has the same trees at both dates.
    trees = canopies(scene.trees)[0]
    base = make_look(rng, int(rng.integers(2)))
    images = []
    for number, season in enumerate(SEASONS):
        month, day, spread = SEASON_STARTS[season]
        date = datetime.date(year, month, day) + datetime.timedelta(
            days=int(rng.integers(spread))
        )
        # Images of one year differ less than those of a pair, which lie years apart:
        # they share gamma and contrast, and half of the gain.
        own = make_look(rng, number % 2, season=season)
        look = replace(
            own,
            gamma=base.gamma,
            gain=(own.gain + base.gain) / 2,
            contrast=base.contrast,
        )
        sensor = random_for(seed, 0, SENSOR, number)
        images.append(
            (
                date.isoformat(),
                _resized(develop(sensor, radiance(scene, 0, look, trees), look), size),
            )
        )
    return images
