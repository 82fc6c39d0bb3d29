"""The style in which QGIS opens a GeoPackage of changes: coloured by probability, labelled."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

# Probability of change from, to; colour; opacity. Windows overlap, so those without
# change are kept pale, or the image below them could not be seen.
_CLASSES = (
    (0.0, 0.25, "69,117,180", 0.10),
    (0.25, 0.5, "171,217,233", 0.20),
    (0.5, 0.75, "253,174,97", 0.35),
    (0.75, 1.0, "215,48,39", 0.45),
)
_TABLE = """CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT,
  styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME)"""


def qml() -> str:
    """The style, as QGIS 3 reads it."""
    ranges, symbols = "", ""
    for number, (low, high, colour, opacity) in enumerate(_CLASSES):
        ranges += (
            f'<range lower="{low}" upper="{high}" label="{low:.0%} to {high:.0%}" '
            f'symbol="{number}" render="true"/>'
        )
        symbols += (
            f'<symbol type="fill" name="{number}" alpha="{opacity}"><layer class="SimpleFill">'
            f'<Option type="Map"><Option name="color" type="QString" value="{colour},255"/>'
            f'<Option name="outline_color" type="QString" value="{colour},255"/>'
            '<Option name="outline_width" type="QString" value="0.3"/>'
            '<Option name="style" type="QString" value="solid"/></Option></layer></symbol>'
        )
    # QGIS takes a number that is missing here for 0: without drawLabels, a largest font,
    # a priority or polygonPlacementFlags (2: inside the polygon) no label is drawn.
    text = (
        '<text-style fieldName="CASE WHEN &quot;changed&quot; THEN &quot;caption&quot; '
        'END" isExpression="1" fontSize="8" fontSizeUnit="Point" textOpacity="1" '
        'textColor="20,20,20,255"><text-buffer bufferDraw="1" bufferSize="0.8" '
        'bufferSizeUnits="MM" bufferOpacity="1" bufferColor="255,255,255,255"/>'
        "</text-style>"
    )
    drawn = (
        '<rendering drawLabels="1" displayAll="0" obstacle="1" scaleVisibility="0" '
        'fontMinPixelSize="0" fontMaxPixelSize="10000"/>'
    )
    placed = '<placement placement="1" polygonPlacementFlags="2" priority="5"/>'
    return (
        '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM">'
        '<qgis version="3.22" styleCategories="Symbology|Labeling" labelsEnabled="1">'
        '<renderer-v2 type="graduatedSymbol" attr="change_probability" '
        f'graduatedMethod="GraduatedColor"><ranges>{ranges}</ranges>'
        f'<symbols>{symbols}</symbols></renderer-v2><labeling type="simple">'
        f'<settings calloutType="simple">{text}'
        '<text-format wrapChar="" autoWrapLength="30" multilineAlign="1"/>'
        f"{placed}{drawn}</settings></labeling></qgis>"
    )


def add_style(path: Path, layers: Sequence[str]) -> None:
    """Put the style into a GeoPackage, as the default of the layers named."""
    with closing(sqlite3.connect(path)) as database, database:
        # What GDAL wrote as the date of change holds for the style too, in the form that
        # GeoPackage prescribes: with milliseconds.
        (date,) = database.execute(
            "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', max(last_change)) FROM gpkg_contents"
        ).fetchone()
        database.execute(_TABLE)
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', ?)",
            (date,),
        )
        for layer in layers:
            database.execute(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
                "f_geometry_column, styleName, styleQML, useAsDefault, description, owner, "
                "update_time) VALUES ('', '', ?, 'geom', 'changes', ?, 1, "
                "'probability of change, with captions', '', ?)",
                (layer, qml(), date),
            )
