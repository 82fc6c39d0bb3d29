"""The paper's pictures, drawn from plain data: arrays, captions and scores in, one file
out.

| picture | function | files |
|---|---|---|
| captions of several systems side by side (Fig. 3) | `side_by_side` | PNG, PDF, SVG,
  HTML |
| maps by initialisation (Fig. 4) | `attention_by_initialisation` | PNG, PDF, SVG |
| maps by stage (Fig. 5) | `attention_by_stage` | PNG, PDF, SVG |
| sweeps (Fig. 6) | `sweep_plots` | PNG, PDF, SVG |
| one explained caption | `words.draw_words`, `explanation.explanation_page` | PNG, PDF,
  SVG; HTML |

PNG, PDF and SVG need matplotlib (the extra ``figures``), HTML does not. No text is
smaller than 8 points at the width it is drawn for, no meaning hangs on colour alone,
and colour maps are perceptually uniform.
"""

from sencap.figures.captions import ComparedPair, marked_words, side_by_side
from sencap.figures.maps import MapRow, attention_by_initialisation, attention_by_stage
from sencap.figures.sweeps import (
    BY_BEAM,
    BY_DEPTH,
    BY_DIMENSION,
    Sweep,
    SweepPoint,
    sweep_plots,
)

__all__ = [
    "BY_BEAM",
    "BY_DEPTH",
    "BY_DIMENSION",
    "ComparedPair",
    "MapRow",
    "Sweep",
    "SweepPoint",
    "attention_by_initialisation",
    "attention_by_stage",
    "marked_words",
    "side_by_side",
    "sweep_plots",
]
