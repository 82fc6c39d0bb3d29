"""What all HTML pages share: their templates, one style sheet, and images inside the
page.

A page needs nothing else: no network, no library. Jinja escapes every text; the
templates lie in the folder ``templates`` beside this module.
"""

from __future__ import annotations

import base64
import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.errors import DataError
from sencap.figures.sheet import LONGEST, VEIL, Map
from sencap.images import shrink

if TYPE_CHECKING:
    from jinja2 import Environment

_SHOWN = 512  # pixels: the longer side of an image on a page
# matplotlib's viridis at every eighth, since pages do without matplotlib; between them
# the colours are mixed
VIRIDIS = (
    (68, 1, 84),
    (71, 45, 123),
    (59, 82, 139),
    (44, 114, 142),
    (33, 145, 140),
    (40, 174, 128),
    (94, 201, 98),
    (173, 220, 48),
    (253, 231, 37),
)
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}


def render(template: str, **values: Any) -> str:
    """The page that a file of the folder ``templates`` makes of the values; texts are
    escaped."""
    return _templates().get_template(template).render(**values)


@functools.cache
def _templates() -> Environment:
    # imported late: captions on the command line need no page
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    # A name that a template misspells raises an error, and every text is escaped:
    # captions may hold any letters.
    return Environment(
        loader=PackageLoader("sencap.figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def photo_uri(image: NDArray[np.uint8]) -> str:
    """An image (3, H, W) as a PNG inside its address, at most `_SHOWN` pixels long."""
    # Pillow's copies of a large image would take much memory.
    few = shrink(image, LONGEST)
    picture = Image.fromarray(np.ascontiguousarray(few.transpose(1, 2, 0)))
    picture.thumbnail((_SHOWN, _SHOWN))
    return _png_uri(picture)


def map_uri(values: Map, limits: tuple[float, float]) -> str:
    """A map (h, w) in viridis from limits[0] to limits[1], one pixel per cell."""
    low, high = limits
    # Values outside of the limits get the end's colour.
    level = np.clip((np.asarray(values, dtype=float) - low) / (high - low), 0, 1)
    positions = np.linspace(0, 1, len(VIRIDIS))
    channels = np.array(VIRIDIS, dtype=float).T
    colours = np.stack(
        [np.interp(level, positions, channel) for channel in channels], -1
    )
    return _png_uri(Image.fromarray(colours.round().astype(np.uint8)))


def gradient() -> str:
    """Viridis as the stops of a CSS gradient, as transparent as maps are over their
    image."""
    veil = round(255 * VEIL)
    return ", ".join(
        f"#{red:02x}{green:02x}{blue:02x}{veil:02x}" for red, green, blue in VIRIDIS
    )


def file_uri(content: bytes, title: str) -> str:
    """The bytes of an image file as an address; ``title`` names it in a message.

    Raises:
        DataError: it is no PNG, JPEG, GIF or WebP file.
    """
    kind = _kind(content)
    if kind is None:
        raise DataError(
            f"the picture of {title!r} is no PNG, JPEG, GIF or WebP file (it begins "
            f"with {content[:8]!r}); hand over the bytes of an encoded file, not "
            "pixels"
        )
    return _uri(kind, content)


def _kind(content: bytes) -> str | None:
    # A file's first bytes tell what it is; its name may be wrong, and is not known
    # here.
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    for start, kind in _KINDS.items():
        if content.startswith(start):
            return kind
    return None


def _png_uri(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return _uri("image/png", content.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
