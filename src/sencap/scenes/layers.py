"""Rows and summaries as files for maps and tables: GeoPackage, FlatGeobuf, GeoJSON,
GeoParquet, CSV."""

from __future__ import annotations

import csv
import json
import sqlite3
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sencap.errors import MissingDependencyError, OutputError, SettingsError
from sencap.files import whole_file
from sencap.rasters import import_rasterio
from sencap.rasters.grid import reprojected
from sencap.scenes.ground import WGS84, Ring
from sencap.scenes.style import add_style

# Of a polygon: the outer corners, then holes.
Parts = Sequence[Ring]


@dataclass(frozen=True)
class Layer:
    """A table of features: polygons (each a ring, then its holes) in one projection,
    and columns of equal length by name."""

    name: str
    crs: Any
    polygons: Sequence[Parts]
    columns: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class About:
    """What was done, as JSON, and the date that a file may note of itself."""

    text: str
    date: str


def check_format(path: str | Path) -> None:
    """Refuse an output that no writer knows, or whose packages are not installed.

    Raises:
        SettingsError, MissingDependencyError: it is.
    """
    ending = Path(path).suffix.lower()
    if ending not in _WRITERS:
        raise SettingsError(
            f"out={path}: its ending says the format, and {ending or 'none'} is "
            f"unknown; known are {', '.join(_WRITERS)}"
        )
    if ending in (".gpkg", ".fgb"):
        _import_pyogrio()
    if ending == ".parquet":
        _import_pyarrow()


def write_layers(
    path: str | Path,
    layers: Sequence[Layer],
    *,
    about: Mapping[str, Any],
    date: str,
) -> Path:
    """Write layers to one file, whole or not at all; its ending says in which format.

    Formats other than GeoPackage hold one layer: the first. ``about`` is what was done,
    as JSON values, which all but CSV take; ``date`` (ISO, UTC) the date of change that
    a GeoPackage notes, given so that equal scans are equal files.

    Raises:
        OutputError: it cannot be written.
    """
    write = _WRITERS[Path(path).suffix.lower()]
    with whole_file(path) as draft:
        try:
            write(draft, layers, About(json.dumps(about, sort_keys=True), date))
        # GDAL's own words name drafts and tables, which a user has not heard of.
        except (RuntimeError, sqlite3.Error) as error:
            raise OutputError(
                f"{path} cannot be written: is the disk full? Make room, and give "
                "the same command again"
            ) from error
    return Path(path)


def _write_gpkg(path: Path, layers: Sequence[Layer], about: About) -> None:
    pyogrio = _import_pyogrio()
    # GDAL would note the present moment, and two equal scans would be different files.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": about.date})
    try:
        # The first layer makes the file, the others are added to it.
        for number, layer in enumerate(layers):
            _write_by_gdal(path, layer, "GPKG", about, append=number > 0)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
    # The colours are those of a probability, so only tables of windows get the style.
    of_windows = [
        layer.name for layer in layers if "change_probability" in layer.columns
    ]
    add_style(path, of_windows)


def _write_fgb(path: Path, layers: Sequence[Layer], about: About) -> None:
    _write_by_gdal(path, layers[0], "FlatGeobuf", about)


def _write_by_gdal(
    path: Path, layer: Layer, driver: str, about: About, *, append: bool = False
) -> None:
    pyogrio = _import_pyogrio()
    columns = [_as_array(values) for values in layer.columns.values()]
    pyogrio.raw.write(
        str(path),
        np.array([_well_known_binary(polygon) for polygon in layer.polygons], object),
        columns,
        np.array(list(layer.columns), object),
        layer=layer.name,
        driver=driver,
        geometry_type="Polygon",
        crs=None if layer.crs is None else layer.crs.to_wkt(),
        layer_metadata={"sencap": about.text},
        append=append,
    )


def _write_geojson(path: Path, layers: Sequence[Layer], about: About) -> None:
    layer = layers[0]
    # Written feature by feature, since a scene may have very many. GeoJSON counts in
    # degrees, whatever projection the layer has.
    with path.open("w", encoding="utf-8") as file:
        file.write(
            '{"type": "FeatureCollection", "sencap": ' + about.text + ', "features": ['
        )
        for number, polygon in enumerate(layer.polygons):
            rings = [reprojected(ring, layer.crs, WGS84) for ring in polygon]
            closed = [_closed(ring) for ring in rings]
            feature = {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": closed},
                "properties": _row(layer, number),
            }
            file.write(
                ("," if number else "") + "\n" + json.dumps(feature, ensure_ascii=False)
            )
        file.write("\n]}\n")


def _closed(ring: Ring) -> list[list[float]]:
    """A ring as GeoJSON has it: its first corner again at its end."""
    # Seven digits of a degree are about a centimetre.
    return [[round(x, 7), round(y, 7)] for x, y in [*ring, ring[0]]]


def _write_csv(path: Path, layers: Sequence[Layer], _: About) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(layers[0].columns)
        rows.writerows(zip(*layers[0].columns.values(), strict=True))


def _write_parquet(path: Path, layers: Sequence[Layer], about: About) -> None:
    arrow, parquet = _import_pyarrow()
    layer = layers[0]
    columns = {name: arrow.array(values) for name, values in layer.columns.items()}
    columns["geometry"] = arrow.array(
        [_well_known_binary(polygon) for polygon in layer.polygons], arrow.binary()
    )
    # What GeoParquet 1.1 wants to be told of its geometry column.
    crs = None if layer.crs is None else layer.crs.to_dict(projjson=True)
    told = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": crs}
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": told},
    }
    table = arrow.table(columns)
    metadata = {b"geo": json.dumps(geo).encode(), b"sencap": about.text.encode()}
    parquet.write_table(table.replace_schema_metadata(metadata), path)


_Writer = Callable[[Path, Sequence[Layer], About], None]
_WRITERS: Mapping[str, _Writer] = {
    ".gpkg": _write_gpkg,
    ".geojson": _write_geojson,
    ".fgb": _write_fgb,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}


def _row(layer: Layer, number: int) -> dict[str, Any]:
    return {name: values[number] for name, values in layer.columns.items()}


def _as_array(values: Sequence[Any]) -> Any:
    """A column as an array that GDAL takes: texts, whole numbers, numbers or truth
    values."""
    if not values:
        return np.array([], object)
    # Truth values first: to Python they are whole numbers, too.
    if all(isinstance(value, bool) for value in values):
        return np.array(values, np.bool_)
    if all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    if all(isinstance(value, int | float | None) for value in values):
        return np.array(values, np.float64)
    return np.array(values, object)


def _well_known_binary(polygon: Parts) -> bytes:
    """A polygon in the form that databases keep."""
    # WKB: 1 for little-endian, 3 for a polygon, the number of rings; then each ring as
    # the number of its points and their coordinates.
    content = struct.pack("<BII", 1, 3, len(polygon))
    for ring in polygon:
        closed = [*ring, ring[0]]
        content += struct.pack("<I", len(closed))
        content += np.array(closed, "<f8").tobytes()
    return content


def _import_pyogrio() -> Any:
    import_rasterio("a scene")
    try:
        import pyogrio  # noqa: PLC0415  (an extra)
        import pyogrio.errors  # noqa: PLC0415
        import pyogrio.raw  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            "a GeoPackage or FlatGeobuf needs the package pyogrio: pip install "
            "'sencap[geo]'; .geojson and .csv do without"
        ) from error
    return pyogrio


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: PLC0415  (an extra)
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            "GeoParquet needs the package pyarrow: pip install 'sencap[geo]'; .gpkg, "
            ".geojson and .csv do without"
        ) from error
    return pyarrow, pyarrow.parquet
