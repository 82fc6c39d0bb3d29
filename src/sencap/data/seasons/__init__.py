"""Dated images: places, each with two or more dated RGB images of the same ground, whatever holds them on disk.

    places = open_places("ssl4eo-s12")          # recognised by its content
    images = places.read(0)                     # SeasonalImages: (D, 3, H, W) uint8, dates, name
    pack(places, Path("packed"), size=264)      # one fast form for all of them
    places = open_places("packed")

The modules, bottom up: contract (`Places`, what they hand out, what they report) · reading (dates in names, one
scale) · folders, synthetic, ssl4eo (v1.0), shards (v1.1), series (large rasters): the readers · packed, packing
(the fast form) · recognise (`open_places`).
"""

from sencap.data.seasons.contract import ListedPlaces, Places, PlacesReport, SeasonalImages, Subset
from sencap.data.seasons.folders import FolderPlaces, PairPlaces
from sencap.data.seasons.packed import PackedPlaces, verify
from sencap.data.seasons.packing import pack
from sencap.data.seasons.reading import UNDATED, Scaling
from sencap.data.seasons.recognise import open_places, recognise
from sencap.data.seasons.series import SeriesPlaces
from sencap.data.seasons.shards import ShardPlaces
from sencap.data.seasons.ssl4eo import SceneFolderPlaces
from sencap.data.seasons.synthetic import SyntheticPlaces

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
    "Subset",
    "SyntheticPlaces",
    "open_places",
    "pack",
    "recognise",
    "verify",
]
