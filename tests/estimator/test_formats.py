"""Models that leave: each file is read by another program than the one that wrote it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris

from wpsgd import WPSGDClassifier
from wpsgd.data.rows import Rows
from wpsgd.errors import DataError
from wpsgd.evaluate import decision_values
from wpsgd.export import load_model

IRIS, SPECIES = load_iris(return_X_y=True)
X, Y = load_breast_cancer(return_X_y=True)


def models() -> list[Any]:
    return [
        WPSGDClassifier().fit(X, Y),
        WPSGDClassifier(fit_intercept=False).fit(X, Y * 3 - 7),
        WPSGDClassifier(intercept_scaling=3.0).fit(IRIS, SPECIES),
    ]


def rows_of(model: Any) -> Any:
    return X if model.n_features_in_ == X.shape[1] else IRIS


def liblinear_predictions(path: Path, rows: np.ndarray) -> np.ndarray:
    """As LIBLINEAR's linear.cpp loads a model and predicts: labels in order, bias as one feature more."""
    words = path.read_text().split()
    at, head = 0, {}
    while words[at] != "w":
        if words[at] == "label":
            classes = int(head["nr_class"])
            head["label"] = [int(word) for word in words[at + 1 : at + 1 + classes]]
            at += 1 + classes
        else:
            head[words[at]], at = words[at + 1], at + 2
    bias, columns = float(head["bias"]), 1 if int(head["nr_class"]) == 2 else int(head["nr_class"])
    weights = np.array(words[at + 1 :], dtype=float).reshape(-1, columns)
    assert len(weights) == int(head["nr_feature"]) + (bias >= 0)
    if bias >= 0:
        rows = np.hstack([rows, np.full((len(rows), 1), bias)])
    values = rows @ weights
    numbers = np.where(values[:, 0] > 0, 0, 1) if columns == 1 else values.argmax(axis=1)
    return np.array(head["label"])[numbers]


def test_liblinear_predicts_the_same_from_its_file(tmp_path: Path) -> None:
    for model in models():
        model.save_liblinear(tmp_path / "model")
        rows = rows_of(model)
        assert np.array_equal(liblinear_predictions(tmp_path / "model", rows), model.predict(rows))
    with pytest.raises(DataError, match="integer labels"):
        WPSGDClassifier().fit(IRIS, np.array(["a", "b", "c"])[SPECIES]).save_liblinear(tmp_path / "model")


def test_scikit_learns_classifier_decides_the_same() -> None:
    for model in models():
        rows, twin = rows_of(model), model.to_sklearn()
        assert np.array_equal(twin.decision_function(rows), model.decision_function(rows))
        assert np.array_equal(twin.predict(rows), model.predict(rows))
        twin.partial_fit(rows, model.predict(rows))


def test_an_npz_comes_back_and_goes_on(tmp_path: Path) -> None:
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)
    calibrated = WPSGDClassifier(probability=True).fit(IRIS, names[SPECIES])
    by_sgd = WPSGDClassifier(solver="sgd", tol=None, max_iter=3).fit(IRIS, SPECIES)
    for model in [*models(), calibrated, by_sgd]:
        model.save(tmp_path / "model.npz")
        loaded, rows = WPSGDClassifier.load(tmp_path / "model.npz"), rows_of(model)
        assert np.array_equal(loaded.decision_function(rows), model.decision_function(rows))
        assert np.array_equal(loaded.predict(rows), model.predict(rows))
        assert loaded.get_params() == model.get_params()
        if model.probability:
            assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))
        labels = model.predict(rows)
        for one in (loaded, model):
            one.set_params(probability=False)
        assert np.array_equal(loaded.partial_fit(rows, labels).coef_, model.partial_fit(rows, labels).coef_)


def test_an_npz_of_two_classes_is_a_model_of_the_command_line(tmp_path: Path) -> None:
    model = WPSGDClassifier().fit(X, Y)
    model.save(tmp_path / "model.npz")
    read = load_model(tmp_path / "model.npz")
    rows = Rows.from_scipy(X, 2.0 * Y - 1.0)
    assert np.allclose(decision_values(read.vector, rows), model.decision_function(X), rtol=1e-9)


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no model")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    for name, said in (("text", "not a model"), ("other.npz", "not a model"), ("absent", "no such")):
        with pytest.raises(DataError, match=said):
            WPSGDClassifier.load(tmp_path / name)


def fields(message: bytes) -> dict[int, list[Any]]:
    """A protobuf message by the numbers of its fields, as the encoding's own description says."""
    found: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            found.setdefault(key >> 3, []).append(varint())
        else:
            assert key & 7 == 2
            length = varint()
            found.setdefault(key >> 3, []).append(message[at : at + length])
            at += length
    return found


def test_an_onnx_file_holds_one_linear_classifier(tmp_path: Path) -> None:
    for model in models():
        model.save_onnx(tmp_path / "model.onnx")
        whole = fields((tmp_path / "model.onnx").read_bytes())
        assert [fields(one).get(1, [b""])[0] for one in whole[8]] == [b"", b"ai.onnx.ml"]
        node = fields(fields(whole[7][0])[1][0])
        assert (node[4], node[7]) == ([b"LinearClassifier"], [b"ai.onnx.ml"])
        attributes = {fields(one)[1][0]: fields(one) for one in node[5]}
        packed = attributes[b"coefficients"][7][0]
        coef = np.array(struct.unpack(f"<{len(packed) // 4}f", packed)).reshape(len(model.classes_), -1)
        packed = attributes[b"intercepts"][7][0]
        scores = rows_of(model) @ coef.T + struct.unpack(f"<{len(packed) // 4}f", packed)
        assert np.mean(model.classes_[scores.argmax(axis=1)] == model.predict(rows_of(model))) > 0.99
        ints = fields(b"\x08" + b"\x08".join(_varints(attributes[b"classlabels_ints"][8][0])))[1]
        assert [value - (1 << 64) * (value >> 63) for value in ints] == model.classes_.tolist()


def _varints(packed: bytes) -> list[bytes]:
    cut, begin = [], 0
    for at, byte in enumerate(packed):
        if byte < 128:
            cut.append(packed[begin : at + 1])
            begin = at + 1
    return cut


def test_onnxruntime_predicts_the_same(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    for model in [*models(), WPSGDClassifier().fit(IRIS, np.array(["a", "b", "c"])[SPECIES])]:
        model.save_onnx(tmp_path / "model.onnx")
        rows = rows_of(model).astype(np.float32)
        session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
        labels, _ = session.run(None, {"X": rows})
        assert np.mean(labels == model.predict(rows)) > 0.99
