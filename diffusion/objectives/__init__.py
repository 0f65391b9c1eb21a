"""What training minimises, and at which times it looks."""

from .simple import CleanError, Objective
from .times import TIME_SAMPLERS, TimeSampler, low_discrepancy, uniform

__all__ = ["TIME_SAMPLERS", "CleanError", "Objective", "TimeSampler", "low_discrepancy", "uniform"]
