"""From a scene to two images: ground, built things, crowns, shadows, then the sensor.

Radiances lie on a 0..255 scale that may be left upwards; layers are float32 arrays over
the padded canvas, (CANVAS, CANVAS, 3) for colours and (…, 1) for covers in 0..1. Each
date is painted from the ground up, with the textures of the world, which both dates
share: what looks different has changed, or is the look's.

By hand, since drawing polygons and blending layers is all that a view from above needs,
and every number here is one that a caption or a mask can be true to.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sencap.synthetic import noise
from sencap.synthetic.canopy import canopies, cast_shadow
from sencap.synthetic.draw import SAME, Canvas, LabelCanvas, draw_everything
from sencap.synthetic.geometry import FRAME, Points, strip, winding
from sencap.synthetic.look import DECIDUOUS, DRY, EVERGREEN, GRASS, Look, develop, place
from sencap.synthetic.world import CANVAS, DrawnScene, Patch, draw_polygon, draw_road

_Layer = NDArray[np.float32]
# A colour on the scale of radiances.
LAWN_GREEN = np.array([98, 116, 66], np.float32)


def _soft(mask: Image.Image, radius: float) -> _Layer:
    """A drawn mask as a cover (CANVAS, CANVAS, 1) in 0..1 with soft edges."""
    smooth = mask.filter(ImageFilter.BoxBlur(radius)) if radius else mask
    return np.asarray(smooth, np.float32)[..., None] / np.float32(255.0)


def _mix(ground: _Layer, cover: _Layer, colour: _Layer) -> _Layer:
    """Lay a colour over the ground, in place."""
    ground += cover * (colour - ground)
    return ground


def _blank() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty mask of the canvas, 0..255, and a pen for it."""
    mask = Image.new("L", (CANVAS, CANVAS))
    return mask, ImageDraw.Draw(mask)


def _grown(outline: Points, factor: float) -> Points:
    """An outline made larger about its middle."""
    middle = outline.mean(axis=0)
    return np.asarray(middle + (outline - middle) * factor)


def _lay(ground: _Layer, mask: Image.Image, radius: float, colour: _Layer) -> _Layer:
    """Lay a colour (h, w, 3) over the ground where a mask is drawn, with soft edges, in
    place."""
    box = mask.getbbox()
    if box is None:
        return ground
    # Only the box of what is drawn is blended; the soft edge reaches a little over it.
    edge = int(radius) + 2
    left, top = max(box[0] - edge, 0), max(box[1] - edge, 0)
    right, bottom = min(box[2] + edge, CANVAS), min(box[3] + edge, CANVAS)
    cover = _soft(mask.crop((left, top, right, bottom)), radius)
    _mix(ground[top:bottom, left:right], cover, colour[top:bottom, left:right])
    return ground


def _trails(rng: np.random.Generator) -> Image.Image:
    """Faint tracks over the open ground, as a mask."""
    mask, pen = _blank()
    for _ in range(int(rng.choice(4, p=(0.4, 0.25, 0.2, 0.15)))):
        centre, angle = rng.uniform(0, FRAME, 2), float(rng.uniform(0, 2 * np.pi))
        sway, wave = float(rng.uniform(4, 22)), float(rng.uniform(90, 240))
        line = winding(centre, angle, sway, wave, phase=float(rng.uniform(0, 6)))
        depth = int(rng.integers(40, 150))
        if rng.random() < 0.4:  # the two wheels of a car
            for wheel in (-1.6, 1.6):
                draw_polygon(pen, strip(line + wheel, 1.2), depth)
        else:
            draw_polygon(pen, strip(line, float(rng.uniform(1.2, 3.5))), depth)
    return mask


@lru_cache(maxsize=2)
def ground_textures(seed: int) -> GroundTextures:
    """The textures of a world, kept for its other date."""
    return GroundTextures(seed)


class GroundTextures:
    """The textures of one world, the same at both dates; `floor` is how bare woods'
    ground is."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.fine = noise.crop(rng, "fine", CANVAS)[..., None]
        self.grain = noise.crop(rng, "grain", CANVAS)[..., None]
        self.blotch = noise.crop(rng, "blotch", CANVAS)[..., None]
        self.coarse = noise.crop(rng, "coarse", CANVAS)[..., None]
        self.roughness = float(rng.uniform(0.6, 1.5))
        self.floor = float(rng.uniform(0.3, 0.8))
        self.trails = _trails(rng)


def _field(
    ground: _Layer, patch: Patch, textures: GroundTextures, green: _Layer, dry: _Layer
) -> _Layer:
    """A ploughed or mown field: stripes along its direction."""
    mask, pen = _blank()
    draw_polygon(pen, patch.outline, 255)
    # The coordinate across the stripes, in pixels: a sine of it makes furrows.
    rows, columns = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32)
    across = columns * np.float32(np.cos(patch.angle)) + rows * np.float32(
        np.sin(patch.angle)
    )
    stripes = (
        np.sin(across * (0.35 + 0.5 * patch.tone))[..., None] + textures.grain * 0.6
    )
    crop = dry * patch.tone + green * (1 - patch.tone)
    return _lay(
        ground, mask, 1.0, crop * (1 + 0.045 * stripes + 0.06 * textures.blotch)
    )


def _plots(
    ground: _Layer, scene: DrawnScene, date: int, look: Look, textures: GroundTextures
) -> _Layer:
    """Lawns and trodden soil around houses, verges of roads, yards of large
    buildings."""
    (lawn, lawn_pen), (bare, bare_pen) = _blank(), _blank()
    for road in scene.roads:
        if road.dates[date] and not road.is_path:
            draw_road(bare_pen, road, 140, grow=3.5)
    for large in scene.large:
        if large.dates[date]:
            draw_polygon(bare_pen, _grown(large.outline, 1.14), 210)
    for house in scene.houses:
        if not house.dates[date]:
            continue
        if house.plot is None:
            middle = house.centre
            draw_polygon(bare_pen, middle + (house.outline - middle) * 1.45, 120)
        elif house.plot_style == "lawn":
            draw_polygon(lawn_pen, house.plot, 235)
        else:
            draw_polygon(bare_pen, house.plot, 225)
    trodden = 1.06 + 0.07 * textures.grain + 0.05 * textures.blotch
    # Bare ground first: lawns lie on top of it.
    ground = _lay(ground, bare, 2.0, np.array(scene.soil, np.float32) * trodden)
    if lawn.getbbox() is None:
        return ground
    # Lawns are watered, so they are greener than the open ground, less so in winter.
    dry = np.array(DRY[look.season], np.float32)
    frost = 0.3 if look.season == "winter" else 0.0
    share = np.clip(0.35 * look.dryness + 0.15 * textures.blotch + frost, 0, 1)
    grass = LAWN_GREEN + share * (dry - LAWN_GREEN)
    grass = grass * (1 + 0.05 * textures.fine)
    return _lay(ground, lawn, 0.7, grass)


def _water(
    ground: _Layer, scene: DrawnScene, date: int, textures: GroundTextures
) -> _Layer:
    """Lakes and ponds with a shore, and cleared ground."""
    soil = np.array(scene.soil, np.float32)
    for patch in scene.patches:
        if not patch.dates[date] or patch.kind in ("pool", "field"):
            continue
        mask, pen = _blank()
        # Machines have churned the ground: it is lighter and rougher than soil that
        # lies open.
        if patch.kind == "clearing":
            draw_polygon(pen, patch.outline, 225)
            churned = 1.08 + 0.1 * textures.grain + 0.06 * textures.fine
            ground = _lay(ground, mask, 2.5, soil * churned)
            continue
        # A shore of wet soil, a tenth larger than the water.
        draw_polygon(pen, _grown(patch.outline, 1.1), 200)
        ground = _lay(ground, mask, 2.0, soil * (0.92 + 0.06 * textures.grain))
        mask, pen = _blank()
        draw_polygon(pen, patch.outline, 255)
        clear = np.array([62, 78, 74], np.float32)
        muddy = np.array([128, 112, 84], np.float32)
        colour = (clear + np.float32(patch.tone) * (muddy - clear)) * (
            1 + 0.025 * textures.coarse
        )
        ground = _lay(ground, mask, 1.0, colour)
    return ground


def _ground(
    scene: DrawnScene, date: int, look: Look, textures: GroundTextures, woods: _Layer
) -> _Layer:
    """The ground of a date, without what is built: (CANVAS, CANVAS, 3)."""
    green = np.array(GRASS[look.season], np.float32)
    dry = np.array(DRY[look.season], np.float32)
    soil = np.array(scene.soil, np.float32)
    grass = green + look.dryness * (dry - green)
    # Soil and grass in patches.
    share = 0.5 + (scene.grass - 0.5) * 1.6 + 0.22 * textures.coarse
    share = np.clip(share + 0.16 * textures.blotch + 0.1 * textures.grain, 0, 1)
    ground = soil + share * (grass - soil)
    uneven = 0.06 * textures.fine + 0.05 * textures.grain
    uneven = uneven + 0.06 * textures.blotch + 0.03 * textures.coarse
    ground = ground * (1 + textures.roughness * uneven)
    for patch in scene.patches:
        if patch.kind == "field" and patch.dates[date]:
            ground = _field(ground, patch, textures, green, dry)
    ground = _lay(ground, textures.trails, 0.8, soil * (1.12 + 0.05 * textures.grain))
    # The floor of the woods, which shows between the crowns and around them.
    litter = np.array([116, 100, 80], np.float32) * (1 + 0.12 * textures.fine)
    ground = _mix(ground, np.float32(textures.floor) * woods, litter)
    ground = _plots(ground, scene, date, look, textures)
    return _water(ground, scene, date, textures)


def _crowns(
    height: _Layer, species: NDArray[np.uint8], look: Look, textures: GroundTextures
) -> tuple[_Layer, _Layer]:
    """Colour (CANVAS, CANVAS, 3) and cover (CANVAS, CANVAS, 1) of the canopy."""
    palette = np.array((*EVERGREEN, *DECIDUOUS[look.season]), np.float32)
    # The surface's slope towards the sun gives the light of each leaf.
    down, right = np.zeros_like(height), np.zeros_like(height)
    down[1:-1] = height[:-2] - height[2:]
    right[:, 1:-1] = height[:, :-2] - height[:, 2:]
    downhill = right * np.float32(look.sun[0]) + down * np.float32(look.sun[1])
    # High crowns get a little more light than low ones.
    light = 0.74 + np.clip(0.15 * downhill, -0.5, 0.75) + 0.014 * np.minimum(height, 20)
    colour = palette[species] * (light[..., None] * (1 + 0.2 * textures.fine))
    # Crowns cover less at their thin edge, where they are low.
    cover = np.clip(height * np.float32(0.7), 0, 1)[..., None]
    if look.season == "winter":  # bare branches let the ground through
        bare = (species >= len(EVERGREEN))[..., None]
        cover = np.where(bare, cover * (0.62 + 0.2 * textures.fine), cover)
    return colour, np.clip(cover, 0, 1)


def radiance(
    scene: DrawnScene, date: int, look: Look, trees: tuple[_Layer, NDArray[np.uint8]]
) -> _Layer:
    """One date under its light, before the sensor: (CANVAS, CANVAS, 3) on a 0..255
    scale."""
    textures = ground_textures(scene.texture_seed)
    height, species = trees
    woods = _soft(Image.fromarray((height > 0).astype(np.uint8) * np.uint8(255)), 5)
    image = _ground(scene, date, look, textures, woods)
    canvas = Canvas(look)
    draw_everything(canvas, scene, date)
    drawn, cover, built_height = canvas.layers()
    # `drawn` is already colour times cover.
    image = image * (1 - cover) + drawn * (
        1 + 0.03 * textures.fine + 0.02 * textures.blotch
    )
    crowns, crown_cover = _crowns(height, species, look, textures)
    # A crown covers a roof only where it stands higher.
    over = np.where((height > built_height)[..., None], crown_cover, np.float32(0))
    image = _mix(image, over, crowns)
    # One surface of crowns and roofs throws all shadows, at most 30 pixels long.
    surface = np.maximum(height, built_height)
    tallest = float(surface.max())
    shadow = cast_shadow(surface, look.sun, look.slope, min(tallest / look.slope, 30.0))
    shade = np.array(look.shade, np.float32)
    return image * (1 - shadow[..., None] * (1 - shade))


def render_dates(
    rng: np.random.Generator, scene: DrawnScene, looks: tuple[Look, Look]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both dates of a scene, (FRAME, FRAME, 3) each; `rng` feeds the sensors' noise."""
    both = canopies(scene.trees)
    before, after = (
        develop(rng, radiance(scene, date, looks[date], both[date]), looks[date])
        for date in (0, 1)
    )
    return before, after


def render_mask(scene: DrawnScene, looks: tuple[Look, Look]) -> NDArray[np.uint8]:
    """What was built, paved or torn down: (FRAME, FRAME), values of `draw` (SAME,
    PAVED, BUILDING).

    What is gone lies where the older image shows it, what is new where the newer one
    does: each date is drawn with its own lean and misregistration. Ground, water and
    plants are no part of it.
    """
    mask = np.full((FRAME, FRAME), SAME, np.uint8)
    for date, look in enumerate(looks):
        canvas = LabelCanvas(look)
        draw_everything(canvas, scene, date)
        # The nearest label, since a mean of two labels would be another class.
        placed = place(canvas.labels(), look, Image.Resampling.NEAREST)
        mask = np.maximum(mask, np.asarray(placed))
    return mask
