"""A path in place of rows: text, compressed text and stores, against scikit-learn's reader."""

from __future__ import annotations

import bz2
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from wpsgd import WPSGDClassifier
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.svmlight import read_part
from wpsgd.data.synthetic import problem
from wpsgd.errors import ConfigError, DataError


def written(path: Path, *, zero_based: bool = False) -> Path:
    """300 rows of three classes, of which the first columns are empty in all but the last row."""
    X = problem(300, 40, 6.0, noise=0.05, seed=3).rows.to_scipy()
    first = np.asarray(X[:, [7]].todense()).ravel()
    labels = np.where(first > 0, 3, np.where(first < 0, -1, 7))
    dump_svmlight_file(X, labels, str(path), zero_based=zero_based)
    if path.suffix == ".bz2":
        path.write_bytes(bz2.compress(path.read_bytes()))
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return written(tmp_path / "rows.svm")


def same(model: Any, other: Any) -> bool:
    names = ("coef_", "intercept_", "classes_")
    return all(np.array_equal(getattr(model, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("name", ["rows.svm", "rows.svm.bz2"])
@pytest.mark.parametrize("zero_based", [True, False])
def test_a_fit_of_text_is_that_of_what_scikit_learn_reads(
    tmp_path: Path, name: str, zero_based: bool
) -> None:
    path = written(tmp_path / name, zero_based=zero_based)
    X, y = load_svmlight_file(str(path))
    for keys in ({}, {"solver": "sgd", "max_iter": 3, "tol": None}):
        ours = WPSGDClassifier(random_state=0, **keys).fit(path)
        theirs = WPSGDClassifier(random_state=0, **keys).fit(X, y)
        assert same(ours, theirs)
        assert ours.n_features_in_ == X.shape[1]
        assert np.array_equal(ours.decision_function(str(path)), theirs.decision_function(X))
        assert ours.score(path) == theirs.score(X, y)


def test_a_store_gives_weights_in_the_numbering_of_its_source(tmp_path: Path, text: Path) -> None:
    convert(text, tmp_path / "store", Wishes("float64", "auto", False))
    X, y = load_svmlight_file(str(text))
    ours, theirs = WPSGDClassifier().fit(tmp_path / "store"), WPSGDClassifier().fit(X, y)
    assert np.allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-8)  # rows in another order
    assert np.array_equal(ours.predict(tmp_path / "store"), ours.predict(X))  # in the source's order
    assert ours.score(tmp_path / "store") == ours.score(text) == ours.score(X, y)


def test_other_files_are_read_as_the_one_that_was_trained_on(tmp_path: Path) -> None:
    trained = written(tmp_path / "rows.svm", zero_based=True)
    model = WPSGDClassifier().fit(trained)
    model.save(tmp_path / "model.npz")
    (tmp_path / "other.svm").write_text("3 2:1 39:2 500:9\n7 5:1\n")  # has no index 0 and a new column
    X = np.zeros((2, 40))
    X[0, [2, 39]], X[1, 5] = (1, 2), 1
    for one in (model, WPSGDClassifier.load(tmp_path / "model.npz")):
        assert np.array_equal(one.decision_function(tmp_path / "other.svm"), model.decision_function(X))


def test_how_a_model_counts_columns_outlives_what_tells_nothing_of_it(tmp_path: Path) -> None:
    trained = written(tmp_path / "rows.svm", zero_based=True)
    (tmp_path / "other.svm").write_text("3 2:1 39:2\n7 5:1\n")  # has no index 0
    X, y = load_svmlight_file(str(trained))
    rows = np.zeros((2, 40))
    rows[0, [2, 39]], rows[1, 5] = (1, 2), 1
    model = WPSGDClassifier().fit(trained)
    with pytest.raises(DataError, match="no such file"):
        model.fit(tmp_path / "nothing.svm")
    for _ in range(2):
        assert np.array_equal(model.decision_function(tmp_path / "other.svm"), model.decision_function(rows))
        model.partial_fit(X, y)


def test_what_does_not_go_with_a_path_is_said_in_a_line(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = WPSGDClassifier()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)  # root may read anything
        with pytest.raises(DataError, match="may not be read by this user"):
            model.fit(text)
    with pytest.raises(DataError, match=r"nothing\.svm: no such file"):
        model.fit(tmp_path / "nothing.svm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"there is no meta\.json"):
        model.fit(tmp_path / "empty")
    with pytest.raises(ConfigError, match=r"^y: must be left out beside a path"):
        model.fit(text, np.ones(300))
    with pytest.raises(ConfigError, match=r"^sample_weight: not beside a path"):
        model.fit(text, sample_weight=np.ones(300))
    with pytest.raises(ConfigError, match=r"^partial_fit: X must be rows"):
        model.partial_fit(text, None, [1, 2])
    text.write_text(text.read_text() + "1 3:x\n")
    with pytest.raises(DataError, match=r"rows\.svm:30\d:5"):
        model.fit(text)


@pytest.mark.parametrize("name", ["rows.svm", "rows.svm.bz2"])
@pytest.mark.parametrize("parts", [1, 3, 7, 400])
def test_stretches_of_a_text_are_all_its_rows(tmp_path: Path, name: str, parts: int) -> None:
    path = written(tmp_path / name)
    X, y = load_svmlight_file(str(path), n_features=41)
    held = [read_part(path, part, parts) for part in range(parts)]
    assert np.array_equal(np.concatenate([part.labels for part in held]), y)
    matrices = [part.rows(zero_based=False).widened(41).to_scipy().toarray() for part in held]
    assert np.array_equal(np.vstack(matrices), X.toarray())


def test_a_fault_in_a_stretch_has_the_line_of_the_file(text: Path) -> None:
    lines = text.read_text().splitlines()
    lines[250] += " 39:nan-"
    text.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"rows\.svm:251:"):
        read_part(text, 3, 4)
    assert len(read_part(text, 0, 4).labels) > 50
