"""Fitted classifiers as files: LIBLINEAR's text model and .npz."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier

from wpsgd.errors import DataError
from wpsgd.estimator.given import checksum

FORMAT = 1  # for two classes, what wpsgd.export.load_model reads too
MANY_CLASSES = "classes-1"
LIBLINEAR_NAMES: Mapping[str, str] = {
    "hinge": "L2R_L1LOSS_SVC_DUAL",
    "squared_hinge": "L2R_L2LOSS_SVC_DUAL",
    "log_loss": "L2R_LR",
    "modified_huber": "L2R_L2LOSS_SVC",  # LIBLINEAR has no such loss; a model predicts by its weights alone
}


def to_sklearn(model: Any) -> SGDClassifier:
    """A fitted SGDClassifier with the same weights, whose decision values are the same."""
    names = ("loss", "alpha", "fit_intercept", "max_iter", "tol", "shuffle", "power_t", "class_weight")
    twin = SGDClassifier(**{name: getattr(model, name) for name in names})
    twin.coef_, twin.intercept_ = np.array(model.coef_), np.array(model.intercept_)
    twin.classes_, twin.n_iter_, twin.t_ = np.array(model.classes_), model.n_iter_, 1.0
    twin.n_features_in_ = model.n_features_in_
    if hasattr(model, "feature_names_in_"):
        twin.feature_names_in_ = model.feature_names_in_
    return twin


def save_liblinear(model: Any, path: Path) -> None:
    """Writes LIBLINEAR's text model. Raises DataError for labels that are not integers, as its are."""
    labels = integers(model.classes_)
    two = len(labels) == 2
    has_bias = bool(model.fit_intercept)
    weights = model.coef_.T
    if has_bias:
        weights = np.vstack([weights, model.intercept_])
    head = [
        f"solver_type {LIBLINEAR_NAMES[model.loss]}",
        f"nr_class {len(labels)}",
        # of two classes the first is the one that positive decision values stand for
        f"label {' '.join(map(str, labels[::-1] if two else labels))}",
        f"nr_feature {model.n_features_in_}",
        f"bias {1 if has_bias else -1}",
        "w",
    ]
    # the space at a line's end is LIBLINEAR's own
    rows = ["".join(f"{value:.17g} " for value in row) for row in weights.tolist()]
    _write(path, ("\n".join([*head, *rows]) + "\n").encode())


def integers(classes: NDArray[Any]) -> list[int]:
    """Labels as integers. Raises DataError where one is something else."""
    try:
        labels = [int(label) for label in classes]
        if all(np.asarray(label == number).all() for label, number in zip(classes, labels, strict=True)):
            return labels
    except (TypeError, ValueError):
        pass
    raise DataError(f"classes {list(classes)[:5]}: LIBLINEAR's models have integer labels: encode them first")


def save(model: Any, path: Path) -> None:
    """Writes an .npz of all that predicts, the parameters that JSON can hold, and how far SGD has got.

    Not what AdaGrad has accumulated: it begins anew in a model that is loaded.
    """
    two = len(model.classes_) == 2
    classes = np.asarray(model.classes_)
    if classes.dtype == object:
        if not all(isinstance(label, str) for label in classes):
            raise DataError("classes of mixed types cannot be saved as .npz: use joblib.dump")
        classes = classes.astype(str)
    settings = {
        "format": FORMAT if two else MANY_CLASSES,
        "intercept": float(model.intercept_[0]) if two else None,
        "loss": model.loss,
        "alpha": float(model.alpha),
        "unit_norm": False,
        "facts": {"parameters": _plain(model.get_params(deep=False)), "solver": model.solver_},
    }
    if hasattr(model, "_zero_based"):
        settings["facts"]["zero_based"] = model._zero_based  # of files, as `wpsgd score` asks too
    arrays = {
        "weights": model.coef_[0] if two else model.coef_,
        "intercepts": model.intercept_,
        "classes": classes,
        "n_iter": np.array(model.n_iter_),
        "seed": np.array(model._seed),
        "steps": np.array([[one.get("steps", 0), one.get("epoch", 0)] for one in model._learners]),
        "settings": np.array(json.dumps(settings, sort_keys=True)),
    }
    if "norms" in model._learners[0]:
        arrays["norms"] = np.array(model._learners[0]["norms"])
    for name in ("feature_names_in_", "calibration_"):
        if hasattr(model, name):
            arrays[name] = np.asarray(getattr(model, name))
            arrays[name] = arrays[name].astype(str) if arrays[name].dtype == object else arrays[name]
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(part, path)


def load(kind: type[Any], path: Path) -> Any:
    """What `save` wrote, as a fitted `kind`. Raises DataError where the file is not that."""
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
            settings = json.loads(str(arrays["settings"]))
            found, facts = settings["format"], settings["facts"]
            if found not in (FORMAT, MANY_CLASSES):
                raise DataError(
                    f"{path}: model format {found}; this version reads {FORMAT} and {MANY_CLASSES}"
                )
            model = _filled(kind(**facts["parameters"]), arrays, str(facts["solver"]))
            if "zero_based" in facts:
                model._zero_based = facts["zero_based"]
            return model
    except FileNotFoundError:
        raise DataError(f"{path}: no such model file") from None
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a model that WPSGDClassifier.save wrote ({error})") from error


def _filled(model: Any, arrays: Mapping[str, NDArray[Any]], solver: str) -> Any:
    model.coef_ = np.atleast_2d(arrays["weights"])
    model.intercept_, model.classes_ = arrays["intercepts"], arrays["classes"]
    if model.coef_.shape[0] != len(model.intercept_):
        raise ValueError("weights and intercepts are not of as many models")
    model.n_features_in_, model.n_iter_ = model.coef_.shape[1], int(arrays["n_iter"])
    model.solver_, model.trace_ = solver, []
    model._duals, model._seed = None, int(arrays["seed"])
    model._left = checksum(model)
    model._learners = [{"steps": steps, "epoch": at, "cursor": 0} for steps, at in arrays["steps"].tolist()]
    if "norms" in arrays:
        logs, count = arrays["norms"].tolist()
        model._learners = [{**one, "norms": (logs, int(count))} for one in model._learners]
    for name in ("feature_names_in_", "calibration_"):
        if name in arrays:
            names = arrays[name].dtype.kind == "U"
            setattr(model, name, arrays[name].astype(object) if names else arrays[name])
    return model


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those that JSON can hold; numbers of NumPy as Python's."""
    plain: dict[str, Any] = {}
    for name, value in parameters.items():
        single = value.item() if isinstance(value, np.generic) else value
        keyed = isinstance(single, Mapping) and all(isinstance(key, str) for key in single)
        if keyed or single is None or isinstance(single, str | int | float):
            plain[name] = dict(single) if isinstance(single, Mapping) else single
    return plain


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
