"""Two models at once: who gets which, and which one people like better. Light to import: apps ask for it."""

from core.experiment.assignment import assign
from core.experiment.settings import Arm, Experiments, ExperimentSettings, load_experiments

__all__ = ["Arm", "ExperimentSettings", "Experiments", "assign", "load_experiments"]
