"""How a date looks: season, sun and sensor. None of it is ever captioned."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sencap.synthetic.world import PAD

Season = Literal["spring", "summer", "autumn", "winter"]
Triple = tuple[float, float, float]
SEASONS: tuple[Season, ...] = ("spring", "summer", "autumn", "winter")

TONES = np.arange(0, 400, 0.25)  # radiances in quarter steps, for tone curves
MOST_SHIFT = 3.0  # pixels of misregistration
# Colours of a season under neutral light: green grass, dry grass, four evergreen and
# four deciduous crowns.
GRASS: dict[Season, Triple] = {
    "spring": (112, 124, 84), "summer": (120, 124, 88), "autumn": (142, 134, 100),
    "winter": (146, 138, 114),
}  # fmt: skip
DRY: dict[Season, Triple] = {
    "spring": (156, 148, 114), "summer": (170, 154, 122), "autumn": (164, 146, 116),
    "winter": (160, 147, 126),
}  # fmt: skip
EVERGREEN: tuple[Triple, ...] = ((58, 70, 52), (64, 73, 58), (52, 66, 54), (70, 76, 58))
DECIDUOUS: dict[Season, tuple[Triple, ...]] = {
    "spring": ((88, 102, 64), (80, 96, 62), (98, 106, 72), (92, 98, 74)),
    "summer": ((66, 82, 54), (60, 76, 52), (76, 88, 60), (70, 80, 60)),
    "autumn": ((100, 94, 66), (112, 92, 70), (84, 90, 62), (106, 98, 78)),
    "winter": ((112, 102, 92), (104, 96, 88), (122, 110, 98), (100, 96, 92)),
}


@dataclass(frozen=True)
class Look:
    """One date's season, light and sensor.

    `sun` is the unit vector towards the sun in the image plane and `slope` the tangent
    of its elevation; `shade` the light that is left in a shadow. `shift` (pixels) and
    `turn` (degrees) are the misregistration, `lean` how far a thing of height 1 leans;
    the rest is the sensor's.
    """

    season: Season
    dryness: float
    sun: tuple[float, float]
    slope: float
    shade: Triple
    gain: float
    gamma: float
    contrast: float
    tint: Triple
    saturation: float
    haze: float
    noise: float
    blur: float
    coarseness: float
    sharpen: float
    jpeg: int
    shift: tuple[float, float]
    turn: float
    lean: tuple[float, float]
    asphalt: float
    car_seed: int


@dataclass(frozen=True)
class Style:
    """The colours of a sensor; `spread` is how far its gain varies from scene to
    scene."""

    gain: float
    spread: float
    gamma: float
    contrast: float
    tint: Triple
    saturation: float


# Measured by eye on LEVIR-CC's images. The older date leans to bright and warm colours,
# the newer to dark ones: the chances are those of the older and of the newer date.
STYLES = {
    "bright": Style(1.15, 0.12, 1.05, 1.4, (1.02, 1.01, 0.95), 0.85),
    "teal": Style(0.92, 0.07, 1.2, 1.4, (0.98, 1.0, 0.98), 1.05),
    "hazy": Style(0.82, 0.07, 1.0, 0.95, (1.0, 0.99, 1.04), 0.65),
    "dark": Style(0.6, 0.06, 1.1, 1.25, (0.99, 1.01, 0.97), 0.68),
    "neutral": Style(0.82, 0.1, 1.05, 1.25, (1.0, 1.0, 0.99), 0.75),
}
STYLE_CHANCES = ((0.3, 0.22, 0.14, 0.12, 0.22), (0.07, 0.05, 0.1, 0.5, 0.28))
# Of the sun at noon, in degrees.
ELEVATIONS = {"spring": 54.0, "summer": 66.0, "autumn": 46.0, "winter": 36.0}


def make_look(
    rng: np.random.Generator, date: int, *, season: Season | None = None
) -> Look:
    """A look at random: `date` is 0 for the older image, 1 for the newer; a season may
    be given."""
    style = STYLES[str(rng.choice(list(STYLES), p=STYLE_CHANCES[date]))]
    gain = style.gain + style.spread * float(rng.normal(0, 1))
    gains = np.array(style.tint) * rng.normal(1, 0.025, 3)
    season = season or SEASONS[int(rng.integers(4))]
    # The image's lower edge is south, where the noon sun stands.
    azimuth = math.radians(float(rng.normal(90, 48)))
    elevation = ELEVATIONS[season] + float(rng.normal(0, 6))
    shade = float(rng.uniform(0.22, 0.46))
    # Low: a blurred image, in between: a coarse one, high: a sharp one.
    soft = float(rng.random())
    return Look(
        season=season,
        dryness=float(rng.beta(2, 2)),
        sun=(math.cos(azimuth), math.sin(azimuth)),
        slope=math.tan(math.radians(min(max(elevation, 26.0), 74.0))),
        shade=(shade * 0.96, shade, shade * 1.1),  # the sky's light is blue
        gain=gain,
        gamma=style.gamma * float(rng.uniform(0.92, 1.08)),
        contrast=style.contrast * float(rng.uniform(0.92, 1.1)),
        tint=(float(gains[0]), float(gains[1]), float(gains[2])),
        saturation=style.saturation * float(rng.uniform(0.85, 1.15)),
        haze=float(rng.exponential(4.0)) + (7.0 if date else 1.5),
        noise=float(rng.uniform(0.5, 5.0)),
        blur=float(rng.uniform(0.0, 0.9)) if soft < 0.4 else 0.0,
        coarseness=float(rng.uniform(1.1, 1.7)) if 0.3 < soft < 0.55 else 1.0,
        sharpen=float(rng.uniform(20, 110)) if soft > 0.55 else 0.0,
        jpeg=int(rng.integers(55, 96)) if rng.random() < 0.7 else 0,
        shift=(float(rng.normal(0, 1.1)), float(rng.normal(0, 1.1))),
        turn=float(rng.normal(0, 0.2)) if rng.random() < 0.3 else 0.0,
        lean=(float(rng.normal(0, 0.07)), float(rng.normal(0, 0.07))),
        asphalt=float(rng.uniform(0.82, 1.15)),
        car_seed=int(rng.integers(2**31)),
    )


def _tone_curve(look: Look) -> NDArray[np.uint8]:
    """A look's contrast, gamma, highlights and haze: the delivered value for each of
    ``TONES``."""
    # Contrast turns about the radiance of open ground.
    pivot = 84.0 * look.gain
    tones = (
        np.clip(((TONES - pivot) * look.contrast + pivot) / 255.0, 0, 1.15)
        ** look.gamma
    )
    # Highlights are compressed, as a film's shoulder does.
    tones = 1.06 * tones / (1 + 0.18 * tones**3)
    return np.clip(tones * (255.0 - look.haze) + look.haze + 0.5, 0, 255).astype(
        np.uint8
    )


def develop(
    rng: np.random.Generator, scene: NDArray[np.float32], look: Look
) -> NDArray[np.uint8]:
    """From radiance to the delivered image: tone, geometry, resampling, sensor.

    `scene` is (CANVAS, CANVAS, 3) on a 0..255 scale; returns (FRAME, FRAME, 3) uint8
    without the padding.
    """
    image = scene * (np.array(look.tint, np.float32) * look.gain)
    grey = image @ np.array([0.3, 0.59, 0.11], np.float32)
    image = grey[..., None] + look.saturation * (image - grey[..., None])
    steps = np.clip(image * np.float32(4.0), 0, len(TONES) - 1).astype(np.int32)
    picture = Image.fromarray(_tone_curve(look)[steps])
    picture = place(picture, look)
    if look.coarseness > 1:  # taken with larger pixels, and enlarged
        small = max(round(picture.width / look.coarseness), 8)
        coarse = picture.resize((small, small), Image.Resampling.BOX)
        picture = coarse.resize(picture.size, Image.Resampling.BICUBIC)
    if look.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(look.blur))
    if look.sharpen:
        sharper = ImageFilter.UnsharpMask(
            radius=1.2, percent=int(look.sharpen), threshold=0
        )
        picture = picture.filter(sharper)
    grain = (
        rng.standard_normal((picture.height, picture.width, 1), np.float32) * look.noise
    )
    pixels = np.clip(np.asarray(picture, np.float32) + grain + 0.5, 0, 255).astype(
        np.uint8
    )
    if look.jpeg:
        store = io.BytesIO()
        Image.fromarray(pixels).save(store, "JPEG", quality=look.jpeg)
        pixels = np.asarray(Image.open(store).convert("RGB"), np.uint8)
    return pixels


def place(
    picture: Image.Image,
    look: Look,
    resampling: Image.Resampling = Image.Resampling.BICUBIC,
) -> Image.Image:
    """Cut the frame out of the padded canvas, misregistered by the look's shift and
    turn."""
    side = picture.width - 2 * PAD
    shift_x, shift_y = (
        min(max(shift, -MOST_SHIFT), MOST_SHIFT) for shift in look.shift
    )
    if look.turn == 0:
        left, top = PAD + shift_x, PAD + shift_y
        return picture.resize(
            (side, side), resampling, box=(left, top, left + side, top + side)
        )
    angle, middle = math.radians(look.turn), side / 2
    cosine, sine = math.cos(angle), math.sin(angle)
    # From a pixel of the frame to its place on the canvas: a turn about the frame's
    # middle, and the shift.
    matrix = (
        cosine, -sine, PAD + middle + shift_x - cosine * middle + sine * middle,
        sine, cosine, PAD + middle + shift_y - sine * middle - cosine * middle,
    )  # fmt: skip
    return picture.transform((side, side), Image.Transform.AFFINE, matrix, resampling)
