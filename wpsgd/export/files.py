"""The file of a model: an .npz without pickles, written and read by `wpsgd run` and WPSGDClassifier alike.

    weights      float (features,) for two classes, else (K, features)
    intercepts   float (1,) or (K,)
    classes      all labels of the training
    groups       the class number of each label, where these are not 0..K-1
    settings     JSON: format, loss, alpha, unit_norm, facts
    further arrays of the estimator: n_iter, seed, steps, feature_names_in_, calibration_

Format 2. What versions before wrote, format 1 and "classes-1", is read too.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.errors import DataError
from wpsgd.export.model import Model

FORMAT = 2
OLD = (1, "classes-1")
OWN = ("weights", "intercepts", "classes", "groups", "settings")


def save_model(path: Path, model: Model) -> None:
    """Writes a model, atomically. Equal models give equal bytes.

    Raises DataError for classes of mixed types.
    """
    settings = {
        "format": FORMAT,
        "loss": model.loss,
        "alpha": model.alpha,
        "unit_norm": model.unit_norm,
        "facts": model.facts,
    }
    arrays: dict[str, NDArray[Any]] = {"weights": model.weights, "intercepts": model.intercepts}
    if model.classes is not None:
        arrays["classes"] = storable(model.classes)
    if model.groups is not None:
        arrays["groups"] = model.groups
    arrays |= model.arrays
    arrays["settings"] = np.array(json.dumps(settings))
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # no array is called allow_pickle
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def storable(labels: NDArray[Any]) -> NDArray[Any]:
    """Texts as an array without pickles. Raises DataError for classes of mixed types."""
    labels = np.asarray(labels)
    if labels.dtype != object:
        return labels
    if not all(isinstance(label, str) for label in labels):
        raise DataError("classes of mixed types cannot be saved as .npz: use joblib.dump")
    return labels.astype(str)


def load_model(path: Path, expected: str = "a wpsgd model") -> Model:
    """Reads a model. Raises DataError where the file is none, or of a later format."""
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no .npz file")
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        settings = json.loads(str(arrays["settings"]))
        found = settings["format"]
        if found != FORMAT and found not in OLD:
            raise DataError(f"{path}: model format {found}; this version reads formats up to {FORMAT}")
        return _model(settings, arrays)
    except FileNotFoundError:
        raise DataError(f"{path}: no such model file") from None
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not {expected} ({error})") from error


def _model(settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Model:
    weights, classes = arrays["weights"], arrays.get("classes")
    one = weights.ndim == 1
    if weights.ndim not in (1, 2) or weights.dtype.kind != "f" or len(weights) == 0:
        raise ValueError(f"weights of shape {weights.shape}")
    intercepts = arrays["intercepts"] if "intercepts" in arrays else np.array([settings["intercept"]])
    if intercepts.shape != ((1,) if one else weights.shape[:1]):
        raise ValueError("weights and intercepts are not of as many models")
    groups = arrays.get("groups")
    if classes is not None:
        _check_classes(len(classes), groups, 2 if one else len(weights))
    return Model(
        weights,
        float(intercepts[0]) if one else intercepts,
        str(settings["loss"]),
        float(settings["alpha"]),
        bool(settings["unit_norm"]),
        dict(settings["facts"]),
        classes,
        groups,
        {name: array for name, array in arrays.items() if name not in OWN},
    )


def _check_classes(labels: int, groups: NDArray[Any] | None, classes: int) -> None:
    fits = labels == classes if groups is None else set(groups.tolist()) == set(range(classes))
    if not fits or (groups is not None and len(groups) != labels):
        raise ValueError(f"{labels} labels for {classes} classes")
