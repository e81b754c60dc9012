"""The commands export and combine."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib

from wpsgd.errors import ConfigError, DataError, nearest
from wpsgd.experiment.printing import note
from wpsgd.export import Model, load_model, save_model
from wpsgd.export.combine import Trained, combine
from wpsgd.export.liblinear import SCALED, liblinear_text
from wpsgd.export.model import listed
from wpsgd.export.onnx import onnx_bytes, onnx_note
from wpsgd.export.parameters import decoded
from wpsgd.export.sklearn import to_sklearn
from wpsgd.reducers import rule_named

# the endings of files that are named after the model's
ENDINGS: Mapping[str, str] = {
    "liblinear": ".liblinear",
    "onnx": ".onnx",
    "npz": ".exported.npz",
    "sklearn": ".joblib",
}
TWINS = ("max_iter", "tol", "shuffle", "power_t", "class_weight")


def export_file(path: Path, to: str, out: Path | None, *, force: bool, as_json: bool) -> None:
    """Writes a model for another program, and says where.

    Raises ConfigError for another format or a file that is there, DataError for a model that it cannot hold.
    """
    if to not in ENDINGS:
        raise ConfigError(f"--to {to}: must be one of {', '.join(ENDINGS)}{nearest(to, ENDINGS)}")
    target = out or path.with_suffix(ENDINGS[to])
    model = load_model(path)
    _check_free(target, force)
    _check_other(target, [path])
    if to == "npz":
        _saved(target, model)
    else:
        _written(target, _content(model, to))
    for line in _notes(model, path, to):
        note(line)
    if as_json:
        print(json.dumps({"path": str(target), "format": to, "features": model.features}))
    else:
        print(target)


def combine_files(
    paths: Sequence[Path],
    out: Path,
    rule: str,
    options: Mapping[str, Any],
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Writes the combination of models that were trained apart, and says what each counts for.

    options: contraction, tau_eff, those that were given
    Raises ConfigError for a rule that cannot be meant or a file that is there, DataError for models that do
    not go together.
    """
    for key, own in (("contraction", "wp"), ("tau_eff", "fednova")):
        if key in options and rule != own:
            raise ConfigError(f"--{key.replace('_', '-')}: only with --rule {own}, not with {rule}")
    chosen = rule_named(rule, **options)
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("combine: a model is named twice")
    _check_free(out, force)
    _check_other(out, paths)
    nodes = [_trained(path) for path in paths]
    made = combine(nodes, chosen, rule)
    _saved(out, made.model)
    for line in made.notes:
        note(line)
    shown = [
        {"model": node.name, "rows": None if node.ages is None else max(node.ages), "shard": node.shard}
        for node in nodes
    ]
    omegas = made.omega.mean(axis=1).tolist()  # of several classes they differ where their steps do
    if as_json:
        told = [{**one, "weight": weight} for one, weight in zip(shown, omegas, strict=True)]
        print(json.dumps({"path": str(out), "rule": rule, "models": told}))
        return
    width = max(len(node.name) for node in nodes)
    for one, weight in zip(shown, omegas, strict=True):
        rows = "" if one["rows"] is None else f"{one['rows']:>14,} rows"
        print(f"{one['model']:{width}}{rows}  weight {weight:.6g}")
    print(out)


def _trained(path: Path) -> Trained:
    model = load_model(path)
    try:
        return Trained.of(str(path), model)
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: does not say how it was trained ({error}): train it again") from error


def has_intercept(model: Model) -> bool:
    """Whether an intercept was learnt."""
    if "parameters" in model.facts:
        return bool(model.facts["parameters"]["fit_intercept"])
    return bool(model.facts.get("intercept", "off") != "off" or model.intercepts.any())


def _content(model: Model, to: str) -> bytes:
    if to == "liblinear":
        return liblinear_text(model, has_intercept(model))
    if to == "onnx":
        return onnx_bytes(model)
    own = decoded(model.facts.get("parameters", {}))
    parameters = {name: own[name] for name in TWINS if name in own}
    fitted = {
        "n_iter_": int(model.arrays["n_iter"]) if "n_iter" in model.arrays else model.facts.get("rounds", 1)
    }
    if "feature_names_in_" in model.arrays:
        fitted["feature_names_in_"] = model.arrays["feature_names_in_"].astype(object)
    stream = io.BytesIO()
    joblib.dump(to_sklearn(model, {"fit_intercept": has_intercept(model), **parameters}, **fitted), stream)
    return stream.getvalue()


def _notes(model: Model, path: Path, to: str) -> list[str]:
    notes = []
    if to == "liblinear" and model.unit_norm:
        notes.append(SCALED)
    if to == "onnx" and (said := onnx_note(model)):
        notes.append(said)
    if to != "npz" and model.merged:
        negative, positive = listed(model.labels_of(0)), listed(model.labels_of(1))
        notes.append(f"its label 1 stands for {positive}, -1 for {negative}, as in the training of {path}")
    if to != "npz" and model.classes is None:
        notes.append(f"{path} is of an older version, which did not store its classes: they are 1 and -1")
    return notes


def _check_other(out: Path, models: Sequence[Path]) -> None:
    """Raises ConfigError where the file to write is a model to read, which --force would lose."""
    if out.resolve() in {path.resolve() for path in models}:
        raise ConfigError(f"{out}: is a model to read: name another file with --out")


def _check_free(path: Path, force: bool) -> None:
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder: name a file with --out")
    if path.exists() and not force:
        raise ConfigError(f"{path}: is there already: --force replaces it, --out names another file")


def _saved(path: Path, model: Model) -> None:
    try:
        save_model(path, model)
    except OSError as error:
        raise _unwritten(path, error) from error


def _written(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}")
