"""How fast captions come, by engine, batch and system, beside the field's way.

All ways take turns, round by round, in one process: what else the machine does meets
all of them alike, so that ratios can be trusted. `measure` runs them, `report` makes
tables of what came out.
"""

from sencap.bench.measure import bench
from sencap.bench.report import BenchReport, Measured

__all__ = ["BenchReport", "Measured", "bench"]
