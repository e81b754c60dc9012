"""Models out and in."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wpsgd.data.rows import FloatArray
from wpsgd.errors import DataError

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A linear classifier: class +1 where <weights, x> + intercept > 0.

    weights: float of shape (features,)
    loss, alpha: what it was trained for; unit_norm: whether rows are scaled to unit length first
    facts: whatever else is worth knowing (strategy, rounds, data), JSON-like
    """

    weights: FloatArray
    intercept: float
    loss: str
    alpha: float
    unit_norm: bool
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def vector(self) -> FloatArray:
        """Weights with the intercept behind them, as wpsgd.evaluate takes them."""
        return np.append(self.weights, np.asarray(self.intercept, dtype=self.weights.dtype))

    def widened(self, features: int) -> Model:
        """The same model for rows with more columns, on which its weights are 0."""
        missing = features - len(self.weights)
        if missing <= 0:
            return self
        weights = np.concatenate((self.weights, np.zeros(missing, dtype=self.weights.dtype)))
        return Model(weights, self.intercept, self.loss, self.alpha, self.unit_norm, self.facts)


def save_model(path: Path, model: Model) -> None:
    """Writes an .npz, atomically. Equal models give equal bytes."""
    settings = {
        "format": FORMAT,
        "intercept": model.intercept,
        "loss": model.loss,
        "alpha": model.alpha,
        "unit_norm": model.unit_norm,
        "facts": model.facts,
    }
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, weights=model.weights, settings=np.array(json.dumps(settings, sort_keys=True)))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def load_model(path: Path) -> Model:
    """Reads what `save_model` wrote. Raises DataError where the file is not such a model."""
    try:
        with np.load(path, allow_pickle=False) as content:
            weights = content["weights"]
            settings = json.loads(str(content["settings"]))
    except FileNotFoundError:
        raise DataError(f"{path}: no such model file") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a wpsgd model ({error})") from error
    if settings["format"] != FORMAT:
        raise DataError(f"{path}: model format {settings['format']}; this version reads format {FORMAT}")
    names = ("intercept", "loss", "alpha", "unit_norm", "facts")
    return Model(weights, *(settings[name] for name in names))
