"""Captioned pairs of other layouts, written in LEVIR-CC's: `import_dataset`, the verb
`sencap import`.

    import_dataset("captions.csv", "DATA")      # then sencap check DATA, sencap train --data DATA

The modules, bottom up: records (columns, rows, pairs) · tables (CSV, JSON lines), coco:
the readers · recognise (which it is) · write (splits, names, files).
"""

from sencap.data.importing.recognise import ImportKind
from sencap.data.importing.write import ImportReport, import_dataset

__all__ = ["ImportKind", "ImportReport", "import_dataset"]
