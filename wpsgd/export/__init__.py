"""Models out and in: one value, one file format, and the formats of other programs."""

from wpsgd.export.files import FORMAT, load_model, save_model
from wpsgd.export.model import Model

__all__ = ["FORMAT", "Model", "load_model", "save_model"]
