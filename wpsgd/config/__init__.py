"""Experiment and cluster files: TOML in, validated and frozen settings out."""

from wpsgd.config.cluster import load_cluster
from wpsgd.config.entry import StrategySettings
from wpsgd.config.minibatch import MiniBatchSettings
from wpsgd.config.reading import load
from wpsgd.config.settings import Settings
from wpsgd.config.strategies import (
    AveragingSettings,
    SequentialSettings,
)
from wpsgd.config.tables import DataSettings, MachineSettings, ModelSettings, ReportSettings

__all__ = [
    "AveragingSettings",
    "DataSettings",
    "MachineSettings",
    "MiniBatchSettings",
    "ModelSettings",
    "ReportSettings",
    "SequentialSettings",
    "Settings",
    "StrategySettings",
    "load",
    "load_cluster",
]
