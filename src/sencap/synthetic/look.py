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

# Radiances in quarter steps, for tone curves.
TONES = np.arange(0, 400, 0.25)
# Colours of a season under neutral light: green grass, dry grass, four evergreen and four deciduous
# crowns.
GRASS: dict[Season, Triple] = {
    "spring": (112, 124, 84), "summer": (120, 124, 88), "autumn": (142, 134, 100), "winter": (146, 138, 114),
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
    """One date's season, sun (unit vector towards it, tangent of its elevation) and sensor."""

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


def _style(rng: np.random.Generator, date: int) -> dict[str, float | Triple]:
    """The colours of a sensor; the older date leans to bright and warm ones, the newer to dark
    ones."""
    names = ("bright", "teal", "hazy", "dark", "neutral")
    weights = (0.3, 0.22, 0.14, 0.12, 0.22) if date == 0 else (0.07, 0.05, 0.1, 0.5, 0.28)
    name = str(rng.choice(names, p=weights))
    spread = float(rng.normal(0, 1))
    styles: dict[str, dict[str, float | Triple]] = {
        "bright": {
            "gain": 1.15 + 0.12 * spread,
            "gamma": 1.05,
            "contrast": 1.4,
            "tint": (1.02, 1.01, 0.95),
            "saturation": 0.85,
        },
        "teal": {
            "gain": 0.92 + 0.07 * spread,
            "gamma": 1.2,
            "contrast": 1.4,
            "tint": (0.98, 1.0, 0.98),
            "saturation": 1.05,
        },
        "hazy": {
            "gain": 0.82 + 0.07 * spread,
            "gamma": 1.0,
            "contrast": 0.95,
            "tint": (1.0, 0.99, 1.04),
            "saturation": 0.65,
        },
        "dark": {
            "gain": 0.6 + 0.06 * spread,
            "gamma": 1.1,
            "contrast": 1.25,
            "tint": (0.99, 1.01, 0.97),
            "saturation": 0.68,
        },
        "neutral": {
            "gain": 0.82 + 0.1 * spread,
            "gamma": 1.05,
            "contrast": 1.25,
            "tint": (1.0, 1.0, 0.99),
            "saturation": 0.75,
        },
    }
    return styles[name]


def make_look(rng: np.random.Generator, date: int, *, season: Season | None = None) -> Look:
    """A look at random. `date` is 0 for the older image, 1 for the newer; a season can be asked
    for."""
    style = _style(rng, date)
    tint = style["tint"]
    assert isinstance(tint, tuple)
    gains = np.array(tint) * rng.normal(1, 0.025, 3)
    season = season or SEASONS[int(rng.integers(4))]
    azimuth = math.radians(
        float(rng.normal(90, 48))
    )  # the image's lower edge is south, where the noon sun stands
    elevation = {"spring": 54.0, "summer": 66.0, "autumn": 46.0, "winter": 36.0}[season] + float(
        rng.normal(0, 6)
    )
    shade = float(rng.uniform(0.22, 0.46))
    soft = float(rng.random())
    return Look(
        season=season,
        dryness=float(rng.beta(2, 2)),
        sun=(math.cos(azimuth), math.sin(azimuth)),
        slope=math.tan(math.radians(min(max(elevation, 26.0), 74.0))),
        shade=(shade * 0.96, shade, shade * 1.1),
        gain=_number(style["gain"]),
        gamma=_number(style["gamma"]) * float(rng.uniform(0.92, 1.08)),
        contrast=_number(style["contrast"]) * float(rng.uniform(0.92, 1.1)),
        tint=(float(gains[0]), float(gains[1]), float(gains[2])),
        saturation=_number(style["saturation"]) * float(rng.uniform(0.85, 1.15)),
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


def _number(value: float | Triple) -> float:
    """A style's plain number."""
    assert isinstance(value, float | int)
    return float(value)


def _tone_curve(look: Look) -> NDArray[np.uint8]:
    """A look's contrast, gamma, highlights and haze: the delivered value for each of ``TONES``."""
    pivot = 84.0 * look.gain
    tones = np.clip(((TONES - pivot) * look.contrast + pivot) / 255.0, 0, 1.15) ** look.gamma
    tones = 1.06 * tones / (1 + 0.18 * tones**3)
    return np.clip(tones * (255.0 - look.haze) + look.haze + 0.5, 0, 255).astype(np.uint8)


def develop(rng: np.random.Generator, scene: NDArray[np.float32], look: Look) -> NDArray[np.uint8]:
    """From radiance to the delivered image: tone, geometry, resampling, sensor.

    `scene` is (CANVAS, CANVAS, 3) on a 0..255 scale; returns (FRAME, FRAME, 3) uint8 without the
    padding.
    """
    image = scene * (np.array(look.tint, np.float32) * look.gain)
    grey = image @ np.array([0.3, 0.59, 0.11], np.float32)
    image = grey[..., None] + look.saturation * (image - grey[..., None])
    steps = np.clip(image * np.float32(4.0), 0, len(TONES) - 1).astype(np.int32)
    picture = Image.fromarray(_tone_curve(look)[steps])
    picture = place(picture, look)
    if look.coarseness > 1:
        small = max(round(picture.width / look.coarseness), 8)
        picture = picture.resize((small, small), Image.Resampling.BOX).resize(
            picture.size, Image.Resampling.BICUBIC
        )
    if look.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(look.blur))
    if look.sharpen:
        picture = picture.filter(
            ImageFilter.UnsharpMask(radius=1.2, percent=int(look.sharpen), threshold=0)
        )
    grain = rng.standard_normal((picture.height, picture.width, 1), np.float32) * look.noise
    pixels = np.clip(np.asarray(picture, np.float32) + grain + 0.5, 0, 255).astype(np.uint8)
    if look.jpeg:
        store = io.BytesIO()
        Image.fromarray(pixels).save(store, "JPEG", quality=look.jpeg)
        pixels = np.asarray(Image.open(store).convert("RGB"), np.uint8)
    return pixels


def place(
    picture: Image.Image, look: Look, resampling: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """Cut the frame out of the padded canvas, misregistered by the look's shift and turn."""
    side = picture.width - 2 * PAD
    if look.turn == 0:
        left = PAD + min(max(look.shift[0], -3.0), 3.0)
        top = PAD + min(max(look.shift[1], -3.0), 3.0)
        return picture.resize((side, side), resampling, box=(left, top, left + side, top + side))
    angle, middle = math.radians(look.turn), side / 2
    cosine, sine = math.cos(angle), math.sin(angle)
    shift_x = min(max(look.shift[0], -3.0), 3.0)
    shift_y = min(max(look.shift[1], -3.0), 3.0)
    matrix = (
        cosine, -sine, PAD + middle + shift_x - cosine * middle + sine * middle,
        sine, cosine, PAD + middle + shift_y - sine * middle - cosine * middle,
    )  # fmt: skip
    return picture.transform((side, side), Image.Transform.AFFINE, matrix, resampling)
