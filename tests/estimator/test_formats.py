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
from wpsgd.runtimes.local import Local

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


@pytest.mark.parametrize(
    "parameters",
    [
        {"class_weight": {0: 1, 1: 9}},
        {"class_weight": {np.int64(0): np.float32(0.5), 1.0: 2}},
        {"strategy": {"name": "wp", "contraction": "validated"}, "n_workers": 2},
        {"alpha": np.float32(1e-3), "max_iter": np.int64(7), "shuffle": np.bool_(False)},
        {"random_state": np.random.RandomState(3)},
        {"random_state": np.random.RandomState(np.random.PCG64(3))},
    ],
)
def test_parameters_come_back_as_they_were(tmp_path: Path, parameters: dict[str, Any]) -> None:
    model = WPSGDClassifier(**parameters).fit(X[:60], Y[:60])
    model.save(tmp_path / "m.npz")
    loaded = WPSGDClassifier.load(tmp_path / "m.npz")
    for name, value in model.get_params().items():
        found = loaded.get_params()[name]
        assert found == value
        if not isinstance(value, np.random.RandomState):
            assert type(found) is type(value)
            assert repr(found) == repr(value)
    if "random_state" in parameters:
        assert (
            loaded.random_state.randint(2**30, size=9).tolist()
            == model.random_state.randint(2**30, size=9).tolist()
        )
    assert np.array_equal(loaded.fit(X, Y).coef_, model.fit(X, Y).coef_) or "n_workers" in parameters


def test_a_parameter_that_cannot_be_stored_is_said(tmp_path: Path) -> None:
    runtime = Local(1)
    model = WPSGDClassifier(runtime=runtime).fit(X[:60], Y[:60])
    with pytest.warns(UserWarning, match=r"runtime=.*cannot be stored"):
        model.save(tmp_path / "m.npz")
    assert WPSGDClassifier.load(tmp_path / "m.npz").runtime is None


LABELS = {
    "floats": [0.0, 1.0],
    "bools": [False, True],
    "bytes": np.array([0, 255], np.uint8),
    "large": [2**40, 2**40 + 1],
    "negative floats": [-3.0, 4.0],
}


@pytest.mark.parametrize("name", LABELS)
def test_onnx_labels_are_those_of_predict(tmp_path: Path, name: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = WPSGDClassifier(random_state=0).fit(X / X.max(axis=0), np.asarray(LABELS[name])[Y])
    model.save_onnx(tmp_path / "m.onnx")
    rows = (X / X.max(axis=0)).astype(np.float32)
    labels, _ = runtime.InferenceSession(str(tmp_path / "m.onnx")).run(None, {"X": rows})
    assert labels.dtype == np.int64
    assert np.array_equal(labels, model.predict(rows))


def test_labels_that_a_format_cannot_hold_are_refused_by_name(tmp_path: Path) -> None:
    model = WPSGDClassifier().fit(X, np.array([-1, 2**31])[Y])
    with pytest.raises(DataError, match="class 2147483648: LIBLINEAR reads labels as 32-bit"):
        model.save_liblinear(tmp_path / "m")
    model.classes_ = np.array([0.5, 1.0])
    with pytest.raises(DataError, match=r"class 0\.5: LIBLINEAR's models have integer labels"):
        model.save_liblinear(tmp_path / "m")
    with pytest.warns(UserWarning, match=r"0\.5, 1 are not whole numbers"):
        model.save_onnx(tmp_path / "m")
    model.classes_ = np.array([0, 2**64 - 1], np.uint64)
    with pytest.raises(DataError, match="class 18446744073709551615: ONNX labels are 64-bit"):
        model.save_onnx(tmp_path / "m")


def test_rows_of_unit_length_are_the_estimators_own_matter(tmp_path: Path) -> None:
    scaled = X / np.linalg.norm(X, axis=1)[:, None]
    ours, theirs = (WPSGDClassifier(unit_norm=unit, random_state=0) for unit in (True, False))
    ours.fit(X, Y)
    theirs.fit(scaled, Y)
    np.testing.assert_allclose(
        ours.decision_function(X), theirs.decision_function(scaled), rtol=1e-9, atol=1e-12
    )
    twin = ours.to_sklearn()
    np.testing.assert_allclose(twin.decision_function(X), ours.decision_function(X), rtol=1e-12)
    ours.save(tmp_path / "m.npz")
    assert np.array_equal(WPSGDClassifier.load(tmp_path / "m.npz").predict(X), ours.predict(X))
    with pytest.warns(UserWarning, match="unit length"):
        ours.save_liblinear(tmp_path / "m")


def test_data_too_wide_for_the_memory_are_refused_before_it_is_asked_for(tmp_path: Path) -> None:
    rows = tmp_path / "wide.svm"
    rows.write_text("1 1:1 2147483647:1\n-1 1:-1 3:1\n2 1:1\n3 1:2\n4 1:3\n5 1:9\n")
    with pytest.raises(DataError, match=r"2,147,483,647 columns: weights of 6 classes .* GiB"):
        WPSGDClassifier().fit(rows)
