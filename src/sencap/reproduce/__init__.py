"""The paper's tables and figures as experiments: what is run is data, how it is run is written once."""

from sencap.reproduce.experiments import EXPERIMENTS, Experiment, Row
from sencap.reproduce.plan import Options
from sencap.reproduce.run import reproduce

__all__ = ["EXPERIMENTS", "Experiment", "Options", "Row", "reproduce"]
