"""Whole scenes: two georeferenced rasters of any size, captioned window by window, on
the map.

    ScanSettings ▶ Scene (two rasters on one grid, one scale) · Tiling (numbered
    windows)
                   Scene.read(number) ▶ Seen: the pair, its valid data
    batches      ▶ ScannedBatch ──▶ Journal (what is done, kept for a run that goes on)
    series       the same for more than two dates, step by step, on the first one's grid
    ScanSummary · Layer ▶ write_layers: .gpkg, .geojson, .fgb, .parquet, .csv

It uses `sencap.rasters` for the files, `sencap.images` for values and sizes, and
`sencap.predictor` for the words. PyTorch is not needed.
"""

from sencap.scenes.scanning import scan
from sencap.scenes.series import find_images, write_series
from sencap.scenes.settings import ScanSettings
from sencap.scenes.writing import write_scan

__all__ = ["ScanSettings", "find_images", "scan", "write_scan", "write_series"]
