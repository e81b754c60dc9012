"""The commands score and predict."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from wpsgd import evaluate
from wpsgd.data.judged import rows_to_judge
from wpsgd.data.labels import signs
from wpsgd.data.rows import Rows
from wpsgd.errors import ConfigError, DataError, nearest
from wpsgd.evaluate_classes import class_scores, class_values
from wpsgd.experiment.printing import note
from wpsgd.export import Model, load_model
from wpsgd.export.model import listed, plain
from wpsgd.export.probabilities import probabilities_of

Floats: TypeAlias = NDArray[np.float64]
Output: TypeAlias = Literal["labels", "values", "probabilities"]
OUTPUTS: tuple[Output, ...] = get_args(Output)
OLDER = "of an older version, which did not store what its classes were"


def score_file(path: Path, data: Path, positive: Sequence[float] | None, *, as_json: bool) -> None:
    """Prints accuracy, AUC and objective. Raises DataError for a model or rows that cannot be read."""
    model = load_model(path)
    if positive and not model.two:
        raise ConfigError(f"--positive: {path} has {len(model.coef)} classes: only for models of two")
    rows, labels = judged(model, data)
    if model.two:
        facts = _scores(model, rows.with_labels(_sides(model, labels, positive, path, data)))
    else:
        numbers = model.numbered(labels, str(data))
        facts = class_scores(model.coef, model.intercepts, rows, numbers, loss=model.loss, alpha=model.alpha)
    if as_json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:10} {'undefined, one class only' if value is None else value}")


def predict_file(path: Path, data: Path, output: str, *, as_json: bool) -> None:
    """Prints what is asked, a line a row. Raises DataError for a model or rows that cannot be read.

    output: labels, decision values, or probabilities of all classes; of several classes a line has one each
    """
    if output not in OUTPUTS:
        raise ConfigError(f"--output {output}: must be one of {', '.join(OUTPUTS)}{nearest(output, OUTPUTS)}")
    model = load_model(path)
    found = decision_values(model, judged(model, data)[0])
    ascending = np.argsort(model.outcomes)
    shares = probabilities_of(model, found)[:, ascending] if output == "probabilities" else None
    labels = model.outcomes[model.decided(found)]
    if output != "values":
        _tell_meaning(model, path)
    if as_json:
        content = {"rows": len(found), "classes": _jsonable(model.outcomes[ascending])}
        content |= {"labels": _jsonable(labels), "values": found.tolist()}
        content |= {} if shares is None else {"probabilities": shares.tolist()}
        print(json.dumps(content))
    elif output == "labels":
        sys.stdout.write("".join(f"{plain(label)}\n" for label in labels))
    else:
        np.savetxt(sys.stdout, found if shares is None else shares, fmt="%.17g")


def judged(model: Model, data: Path) -> tuple[Rows, Floats]:
    """The rows of a file in the model's columns, scaled as in training, and the labels that they have."""
    zero_based = model.facts.get("zero_based", "auto")
    rows, labels, _ = rows_to_judge(data, model.features, zero_based, unit_norm=model.unit_norm)
    return rows, labels


def decision_values(model: Model, rows: Rows) -> Floats:
    """Of two classes (n,), else (n, classes)."""
    if model.two:
        return evaluate.decision_values(model.vector, rows)
    return class_values(model.coef, model.intercepts, rows)


def _scores(model: Model, rows: Rows) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "accuracy": evaluate.accuracy(model.vector, rows),
        "auc": evaluate.auc(model.vector, rows),
        "objective": evaluate.objective(model.vector, rows, loss=model.loss, alpha=model.alpha),
    }


def _sides(model: Model, labels: Floats, positive: Sequence[float] | None, path: Path, data: Path) -> Floats:
    """Which side of a model of two classes each label means, -1 or +1.

    positive: labels that mean +1, all others -1; else those of the training.
    """
    if positive:
        return _asked(model, labels, np.unique(positive), data)
    if model.classes is not None:
        return np.where(model.numbered(labels, str(data)) == 1, 1.0, -1.0)
    if known := model.facts.get("positive"):
        return signs(labels, np.array(known, dtype=np.float64))
    return _guessed(labels, path, data)


def _asked(model: Model, labels: Floats, positive: Floats, data: Path) -> Floats:
    known = np.unique(labels)
    if model.classes is not None and model.classes.dtype.kind in "biuf":
        trained, known = model.labels_of(1), np.union1d(known, model.classes.astype(np.float64))
        if not np.array_equal(positive, trained):
            now = f"--positive {listed(positive)}: counts as +1 here, all other labels as -1"
            note(f"{now}; the model was trained with {listed(trained)} as +1")
    if len(absent := np.setdiff1d(positive, known)):
        raise DataError(f"{data}: --positive {plain(absent[0])} is no label, there are {listed(known)}")
    return signs(labels, positive)


def _guessed(labels: Floats, path: Path, data: Path) -> Floats:
    """For models that do not know their classes: the larger of two is +1, and so is 1 beside nothing."""
    classes = np.unique(labels)
    if len(classes) == 2:
        return signs(labels, classes[1:])
    if len(classes) == 1 and classes[0] in (-1.0, 0.0, 1.0):
        side = "+1" if classes[0] > 0 else "-1"
        note(f"{path} is {OLDER}: label {plain(classes[0])} is taken for the class {side}")
        return np.where(labels > 0.0, 1.0, -1.0)
    raise DataError(
        f"{data}: labels {listed(classes)}, and {path} is {OLDER}: name those that mean +1 with --positive"
    )


def _tell_meaning(model: Model, path: Path) -> None:
    if model.merged:
        negative, positive = listed(model.labels_of(0)), listed(model.labels_of(1))
        note(f"{path}: 1 stands for the labels {positive}, -1 for {negative}, as in its training")
    elif model.classes is None:
        note(f"{path} is {OLDER}: 1 and -1 stand for them")


def _jsonable(labels: NDArray[Any]) -> list[Any]:
    """Whole numbers as such."""
    return [int(one) if isinstance(one, float) and one.is_integer() else one for one in labels.tolist()]
