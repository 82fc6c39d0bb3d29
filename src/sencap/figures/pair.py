"""One picture of one captioned pair: before, after, and the sentence below."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sencap.errors import SettingsError
from sencap.files import whole_file
from sencap.structures import ImagePair

MARGIN, GAP, LABEL, TEXT = 16, 12, 15, 20  # pixels
INK, PALE, PAPER = (20, 24, 28), (95, 102, 110), (255, 255, 255)
# Pixels: small images are enlarged to the first, large ones reduced to the second.
SHORTEST, LONGEST = 384, 1024
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def draw_pair(
    pair: ImagePair, text: str, *, labels: tuple[str, str] = ("before", "after")
) -> Image.Image:
    """The two images side by side, with labels above and the wrapped text below.

    Small images are enlarged and large ones reduced: the picture shows what is meant,
    and fits a screen.
    """
    images = [
        Image.fromarray(np.ascontiguousarray(x.transpose(1, 2, 0))) for x in pair.images
    ]
    # Small images are enlarged first; the limit for large ones comes last, since it
    # keeps the picture on a screen.
    enlarged = max(1.0, SHORTEST / min(images[0].size))
    factor = min(enlarged, LONGEST / max(images[0].size))
    size = (
        max(1, round(images[0].width * factor)),
        max(1, round(images[0].height * factor)),
    )
    images = [image.resize(size, Image.Resampling.BICUBIC) for image in images]
    label, body = ImageFont.load_default(LABEL), ImageFont.load_default(TEXT)
    width = 2 * size[0] + GAP + 2 * MARGIN
    # The default font's letters are about half as wide as high: so many fit in a line.
    letters = max(10, int((width - 2 * MARGIN) / (TEXT * 0.53)))
    lines = textwrap.wrap(text, letters) or [""]
    # From top to bottom: labels, images, lines of text.
    top = MARGIN + LABEL + 6
    below = top + size[1] + GAP
    canvas = Image.new("RGB", (width, below + len(lines) * (TEXT + 6) + MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    for i, image in enumerate(images):
        left = MARGIN + i * (size[0] + GAP)
        draw.text((left, MARGIN - 2), labels[i], fill=PALE, font=label)
        canvas.paste(image, (left, top))
    for number, line in enumerate(lines):
        draw.text((MARGIN, below + number * (TEXT + 6)), line, fill=INK, font=body)
    return canvas


def check_ending(path: str | Path) -> None:
    """Refuse a picture whose ending names no format that can be written.

    Raises:
        SettingsError: another ending than .png, .jpg, .jpeg or .webp.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise SettingsError(f"picture={path} must end in one of {', '.join(FORMATS)}")


def save_picture(picture: Image.Image, path: str | Path) -> Path:
    """Write a picture, whole or not at all; the ending (.png, .jpg, .webp) names the
    format.

    Raises:
        SettingsError: another ending.
        OutputError: it cannot be written; why, and what to do.
    """
    check_ending(path)
    path = Path(path)
    with whole_file(path) as draft:
        picture.save(draft, format=FORMATS[path.suffix.lower()])
    return path
