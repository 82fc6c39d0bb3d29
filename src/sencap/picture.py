"""One picture of one captioned pair: before, after, and the sentence below."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sencap.errors import SettingsError
from sencap.structures import ImagePair

MARGIN, GAP, LABEL, TEXT = 16, 12, 15, 20  # pixels
INK, PALE, PAPER = (20, 24, 28), (95, 102, 110), (255, 255, 255)
SIDE = 384  # shortest side that the two images are shown with


def draw_pair(pair: ImagePair, text: str, *, labels: tuple[str, str] = ("before", "after")) -> Image.Image:
    """The two images side by side, small ones enlarged, with labels above and the wrapped text below."""
    images = [Image.fromarray(np.ascontiguousarray(x.transpose(1, 2, 0))) for x in pair.images]
    factor = max(1.0, SIDE / min(images[0].size))
    size = (round(images[0].width * factor), round(images[0].height * factor))
    images = [image.resize(size, Image.Resampling.BICUBIC) for image in images]
    label, body = ImageFont.load_default(LABEL), ImageFont.load_default(TEXT)
    width = 2 * size[0] + GAP + 2 * MARGIN
    lines = textwrap.wrap(text, max(10, int((width - 2 * MARGIN) / (TEXT * 0.53)))) or [""]
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


def save_picture(picture: Image.Image, path: str | Path) -> Path:
    """Write a picture, whole or not at all; the ending (.png, .jpg, .webp) names the format.

    Raises:
        SettingsError: another ending, or a folder that is not there.
    """
    path = Path(path)
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    if path.suffix.lower() not in formats:
        raise SettingsError(f"picture={path} must end in one of {', '.join(formats)}")
    if not path.parent.is_dir():
        raise SettingsError(f"picture={path}: the folder {path.parent} does not exist; make it first")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    picture.save(temporary, format=formats[path.suffix.lower()])
    temporary.replace(path)
    return path
