"""Dated images that a STAC item, or a collection of items, in a local JSON file
names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sencap.dates import find_date
from sencap.errors import DataError, nearest
from sencap.files import is_address
from sencap.json_files import read_json

_MOST_MEGABYTES = 64


def stac_images(path: str | Path, asset: str = "visual") -> list[tuple[Path, str]]:
    """The image file and the date (2018-04-26) of each item, in the file's order.

    Relative links are followed from the file's folder; nothing is fetched.

    Raises:
        DataError: no item, one without that asset or without a date, or one whose image
            is not here.
    """
    path = Path(path)
    content = read_json(path, most_megabytes=_MOST_MEGABYTES, error=DataError)
    # A collection of items, or one item by itself.
    items = content.get("features", [content]) if isinstance(content, dict) else []
    known = [item for item in items if isinstance(item, dict) and "assets" in item]
    if not known or len(known) < len(items):
        raise DataError(
            f"{path} is no STAC item and no collection of items: they have assets"
        )
    return [_image(path, item, asset) for item in known]


def _image(path: Path, item: dict[str, Any], asset: str) -> tuple[Path, str]:
    name = f"{path}: item {str(item.get('id'))[:80]!r}"
    assets = item["assets"] if isinstance(item["assets"], dict) else {}
    if asset not in assets:
        raise DataError(
            f"{name} has no asset {asset!r}; {nearest(asset, assets)} (--asset)"
        )
    link = assets[asset].get("href") if isinstance(assets[asset], dict) else None
    properties = item.get("properties")
    # An item of a span of time has start_datetime instead of datetime.
    told = properties if isinstance(properties, dict) else {}
    date = find_date(
        str(told.get("datetime") or told.get("start_datetime") or ""), at_start=True
    )
    if not isinstance(link, str) or date is None:
        what = "link (href)" if date else "datetime"
        raise DataError(f"{name} has no {what} for its asset {asset!r}")
    if is_address(link):
        raise DataError(
            f"{name} lies at {link[:200]}; fetch it, and name the file in the item"
        )
    return path.parent / link, date.isoformat()
