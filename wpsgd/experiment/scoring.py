"""The commands score and predict."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wpsgd import evaluate
from wpsgd.data.rows import Rows
from wpsgd.data.svmlight import read_svmlight, read_unlabelled
from wpsgd.export import Model, load_model


def score_file(path: Path, data: Path, positive: Sequence[float] | None, *, as_json: bool) -> None:
    """Prints accuracy, AUC and objective. Raises DataError for a model or rows that cannot be read."""
    model = load_model(path)
    known = positive or model.facts.get("positive") or None
    zero_based = model.facts.get("zero_based", "auto")
    model, rows = _fitted(model, read_svmlight(data, positive=known, zero_based=zero_based))
    facts = {
        "rows": len(rows),
        "accuracy": evaluate.accuracy(model.vector, rows),
        "auc": evaluate.auc(model.vector, rows),
        "objective": evaluate.objective(model.vector, rows, loss=model.loss, alpha=model.alpha),
    }
    if as_json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:10} {'undefined, one class only' if value is None else value}")


def predict_file(path: Path, data: Path, *, as_json: bool) -> None:
    """Prints a decision value for each row. Raises DataError for a model or rows that cannot be read."""
    model = load_model(path)
    zero_based = model.facts.get("zero_based", "auto")
    model, rows = _fitted(model, read_unlabelled(data, zero_based=zero_based))
    values = evaluate.decision_values(model.vector, rows)
    if as_json:
        print(json.dumps({"rows": len(rows), "values": values.tolist()}))
    else:
        np.savetxt(sys.stdout, values, fmt="%.17g")


def _fitted(model: Model, rows: Rows) -> tuple[Model, Rows]:
    """A model and rows of one width, the rows scaled as in training."""
    features = max(len(model.weights), rows.features)
    model, rows = model.widened(features), rows.widened(features)
    return model, rows.unit_norm() if model.unit_norm else rows
