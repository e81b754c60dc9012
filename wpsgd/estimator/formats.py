"""Fitted classifiers as models (wpsgd.export), and back: files of our own and of other programs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.errors import DataError
from wpsgd.estimator.given import checksum
from wpsgd.export import Model, load_model, save_model
from wpsgd.export.files import storable
from wpsgd.export.liblinear import SCALED, liblinear_text
from wpsgd.export.onnx import onnx_bytes, onnx_note
from wpsgd.export.parameters import decoded, encoded
from wpsgd.export.sklearn import to_sklearn as twin_of

TWINS = ("fit_intercept", "max_iter", "tol", "shuffle", "power_t", "class_weight")
NAMED = ("feature_names_in_", "calibration_")


def model_of(estimator: Any) -> Model:
    """What a fitted estimator predicts by."""
    two = len(estimator.classes_) == 2
    classes, groups = getattr(estimator, "_merged", (np.asarray(estimator.classes_), None))
    return Model(
        estimator.coef_[0] if two else estimator.coef_,
        float(estimator.intercept_[0]) if two else estimator.intercept_,
        estimator.loss,
        float(estimator.alpha),
        bool(estimator.unit_norm),
        classes=classes,
        groups=groups,
    )


def to_sklearn(estimator: Any) -> Any:
    """A fitted SGDClassifier with the same weights, whose decision values are the same.

    Where rows are scaled to unit length: a Pipeline that does so first.
    """
    fitted = {"n_iter_": estimator.n_iter_}
    if hasattr(estimator, "feature_names_in_"):
        fitted["feature_names_in_"] = estimator.feature_names_in_
    return twin_of(model_of(estimator), {name: getattr(estimator, name) for name in TWINS}, **fitted)


def save_liblinear(estimator: Any, path: Path) -> None:
    """Writes LIBLINEAR's text model. Raises DataError for labels that are no integers of 32 bits, as its are.

    Warns where rows are scaled to unit length, which LIBLINEAR does not do.
    """
    _write(path, liblinear_text(model_of(estimator), bool(estimator.fit_intercept)))
    if estimator.unit_norm:
        warnings.warn(SCALED, UserWarning, stacklevel=3)


def save_onnx(estimator: Any, path: Path) -> None:
    """Writes an ONNX model. Warns where its labels are texts instead of numbers."""
    model = model_of(estimator)
    _write(path, onnx_bytes(model))
    if note := onnx_note(model):
        warnings.warn(note, UserWarning, stacklevel=3)


def save(estimator: Any, path: Path) -> None:
    """Writes an .npz of all that predicts, the parameters, and how far SGD has got.

    Warns of parameters that cannot be stored, such as a runtime. Not what AdaGrad has accumulated is written:
    it begins anew in a model that is loaded.
    """
    parameters, lost = _stored(estimator.get_params(deep=False))
    facts = {"parameters": parameters, "solver": estimator.solver_}
    if hasattr(estimator, "_zero_based"):
        facts["zero_based"] = estimator._zero_based  # of files, as `wpsgd score` asks too
    arrays = {
        "n_iter": np.array(estimator.n_iter_),
        "seed": np.array(estimator._seed),
        "steps": np.array([[one.get("steps", 0), one.get("epoch", 0)] for one in estimator._learners]),
    }
    if "norms" in estimator._learners[0]:
        arrays["norms"] = np.array(estimator._learners[0]["norms"])
    arrays |= {name: storable(getattr(estimator, name)) for name in NAMED if hasattr(estimator, name)}
    save_model(path, replace(model_of(estimator), facts=facts, arrays=arrays))
    if lost:
        defaults = ", ".join(f"{name}={value!r:.60}" for name, value in lost.items())
        warnings.warn(
            f"{path}: {defaults} cannot be stored: a model that is loaded has the default", UserWarning, 3
        )


def load(kind: type[Any], path: Path) -> Any:
    """A model file, of `save` or of `wpsgd run`, as a fitted `kind`. Raises DataError where it is none."""
    model = load_model(path, "a model that WPSGDClassifier.save or wpsgd run wrote")
    try:
        return _filled(kind, model)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a model that WPSGDClassifier can take over ({error})") from error


def _filled(kind: type[Any], model: Model) -> Any:
    facts, arrays = model.facts, model.arrays
    if "parameters" in facts:
        estimator = kind(**decoded(facts["parameters"]))
        estimator.solver_ = str(facts["solver"])
    else:
        estimator = kind(**_parameters_of_run(model))
        estimator.solver_ = "dual" if facts.get("solver") == "dual" else "sgd"
    if model.merged:
        estimator._merged = (model.classes, model.numbers)
    model = model.ascending()
    estimator.coef_, estimator.classes_ = model.coef, model.outcomes
    estimator.intercept_ = model.intercepts.astype(model.weights.dtype)
    estimator._left = checksum(estimator)
    estimator.n_features_in_ = model.features
    estimator.n_iter_ = int(arrays["n_iter"]) if "n_iter" in arrays else max(1, int(facts.get("rounds", 1)))
    estimator.trace_, estimator._duals = [], None
    estimator._seed = int(arrays["seed"]) if "seed" in arrays else int(facts.get("seed", 0))
    steps = arrays["steps"].tolist() if "steps" in arrays else [[int(facts.get("age") or 0), 0]]
    estimator._learners = [{"steps": taken, "epoch": at, "cursor": 0} for taken, at in steps]
    if "norms" in arrays:
        logs, count = arrays["norms"].tolist()
        estimator._learners = [{**one, "norms": (logs, int(count))} for one in estimator._learners]
    for name in NAMED:
        if name in arrays:
            names = arrays[name].dtype.kind == "U"
            setattr(estimator, name, arrays[name].astype(object) if names else arrays[name])
    if "zero_based" in facts:
        estimator._zero_based = facts["zero_based"]
    return estimator


def _parameters_of_run(model: Model) -> dict[str, Any]:
    """Those of an estimator that would minimise what `wpsgd run` did, with the same steps."""
    step, facts = model.facts.get("step", {}), model.facts
    kept = {
        "learning_rate": step.get("schedule"),
        "eta0": step.get("eta0"),
        "power_t": step.get("power"),
        "random_state": facts.get("seed"),
    }
    intercept = facts.get("intercept", "off" if model.intercept == 0.0 else "column")
    return {
        "loss": model.loss,
        "alpha": model.alpha,
        "unit_norm": model.unit_norm,
        "fit_intercept": intercept != "off",
        **{name: value for name, value in kept.items() if value is not None},
    }


def _stored(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters as JSON can hold them, and those that it cannot."""
    kept, lost = {}, {}
    for name, value in parameters.items():
        try:
            kept[name] = encoded(value)
        except TypeError:
            lost[name] = value
    return kept, lost


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def targets_of(estimator: Any, labels: NDArray[Any], where: Any) -> NDArray[Any]:
    """Labels of a file as the estimator's classes, where these stand for several labels each.

    Raises DataError for a label that the model was not trained with.
    """
    if not hasattr(estimator, "_merged"):
        return labels
    return np.asarray(estimator.classes_[model_of(estimator).numbered(labels, str(where))])
