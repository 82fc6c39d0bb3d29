"""Dated images: places, each with two or more dated RGB images of the same ground,
whatever holds them on disk.

    places = open_places("ssl4eo-s12")          # recognised by its content
    images = places.read(0)                     # SeasonalImages: (D, 3, H, W) uint8, dates, name
    pack(places, Path("packed"), size=264)      # one fast form for all of them
    places = open_places("packed")

The modules, bottom up: contract (`Places`, what they hand out, what they report) ·
reading (dates in names, one scale) · folders, synthetic, ssl4eo (v1.0), shards (v1.1),
series (large rasters): the readers · packed, packing (the fast form) · recognise
(`open_places`).
"""

from sencap.places.contract import ListedPlaces, Places, PlacesReport, SeasonalImages
from sencap.places.folders import FolderPlaces, PairPlaces
from sencap.places.packed import PackedPlaces, verify
from sencap.places.packing import pack
from sencap.places.reading import UNDATED, Scaling
from sencap.places.recognise import open_places, recognise_places
from sencap.places.series import SeriesPlaces
from sencap.places.shards import ShardPlaces
from sencap.places.ssl4eo import SceneFolderPlaces
from sencap.places.synthetic import SyntheticPlaces

__all__ = [
    "UNDATED",
    "FolderPlaces",
    "ListedPlaces",
    "PackedPlaces",
    "PairPlaces",
    "Places",
    "PlacesReport",
    "Scaling",
    "SceneFolderPlaces",
    "SeasonalImages",
    "SeriesPlaces",
    "ShardPlaces",
    "SyntheticPlaces",
    "open_places",
    "pack",
    "recognise_places",
    "verify",
]
