"""Sample weights: of classes as scikit-learn has them, of rows from a file, with mean 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from wpsgd.data.convert import convert
from wpsgd.data.load import load
from wpsgd.data.rows import Rows
from wpsgd.data.sample_weights import weighted
from wpsgd.data.svmlight import write_svmlight
from wpsgd.data.synthetic import problem
from wpsgd.errors import DataError


@pytest.fixture(scope="module")
def rows() -> Rows:
    return problem(300, 40, 6.0, positive=0.2, seed=4).rows


@pytest.fixture
def text(rows: Rows, tmp_path: Path) -> Path:
    write_svmlight(tmp_path / "rows.svm", rows)
    return tmp_path / "rows.svm"


def test_balanced_weights_are_scikit_learns(rows: Rows) -> None:
    negative, positive = compute_class_weight("balanced", classes=np.array([-1.0, 1.0]), y=rows.labels)
    found = weighted(rows, "balanced").weights
    assert found is not None
    assert np.allclose(found, np.where(rows.labels > 0, positive, negative), rtol=1e-15)
    assert found[rows.labels > 0].sum() == pytest.approx(found[rows.labels < 0].sum())


def test_balanced_classes_weigh_the_same_whatever_their_rows_weigh(rows: Rows) -> None:
    own = np.random.default_rng(0).uniform(0.0, 3.0, len(rows)) * np.where(rows.labels > 0, 7.0, 1.0)
    found = weighted(replace(rows, weights=own), "balanced").weights
    assert found is not None
    assert found[rows.labels > 0].sum() == pytest.approx(found[rows.labels < 0].sum())
    for sign in (-1.0, 1.0):
        inside = rows.labels == sign
        assert np.allclose(found[inside] / found[inside].sum(), own[inside] / own[inside].sum(), rtol=1e-12)
    with pytest.raises(DataError, match="all rows of one class have the sample weight 0"):
        weighted(replace(rows, weights=own * (rows.labels > 0)), "balanced")


def test_factors_of_classes_are_scaled_to_mean_1_together_with_the_weights_of_rows(rows: Rows) -> None:
    own = np.random.default_rng(0).uniform(0.0, 3.0, len(rows))
    expected = own * np.where(rows.labels > 0, 5.0, 0.5)
    found = weighted(replace(rows, weights=own), (0.5, 5.0)).weights
    assert found is not None
    assert found.mean() == pytest.approx(1.0, rel=1e-14)
    assert np.allclose(found * expected.mean(), expected, rtol=1e-13)
    single = weighted(rows.astype(np.float32), (0.5, 5.0)).weights
    assert single is not None
    assert single.dtype == np.float32


def test_rows_without_weights_stay_without(rows: Rows, text: Path) -> None:
    assert weighted(rows, None) is rows
    data = load(text, test=0.2)
    assert data.test is not None
    assert (data.train.weights, data.test.weights) == (None, None)


@pytest.mark.parametrize("name", ["weights.txt", "weights.npy"])
@pytest.mark.parametrize("stored", [False, True])
def test_weights_of_a_file_stay_with_their_rows(rows: Rows, text: Path, name: str, stored: bool) -> None:
    own, path = np.random.default_rng(1).uniform(0.5, 2.0, len(rows)), text.with_name(name)
    _ = np.save(path, own) if name.endswith("npy") else np.savetxt(path, own, fmt="%.17g")
    source = convert(text, text.with_name("store")).path if stored else text
    data = load(source, test=0.25, seed=3, weights=path)
    whole = load(source)
    # rows are told apart by their squared norms before scaling, which differ
    order = {tuple(row): number for number, row in enumerate(rows.to_scipy().toarray().tolist())}
    assert data.test is not None
    for part in (data.train, data.test):
        dense = part.to_scipy().toarray()
        if data.stored is not None:
            dense = dense[:, np.argsort(data.stored.columns)]
        expected = own[[order[tuple(row)] for row in dense.tolist()]]
        assert part.weights is not None
        assert np.allclose(part.weights, expected / expected.mean(), rtol=1e-13)
    assert len(data.train) + len(data.test) == len(whole.train)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1\n2\n", r"2 weights for 300 rows: must be one for each"),
        ("1\nx\n", r"not one weight a line"),
        ("1\n" * 299 + "-1\n", r"weight 300 is -1.0: must be finite and >= 0"),
        ("nan\n" + "1\n" * 299, r"weight 1 is nan: must be finite and >= 0"),
        ("0\n" * 300, r"all rows that are trained on have the weight 0"),
        (None, r"weights.txt: not one weight a line"),
        ("", r"weights.txt: not one weight a line"),
        ("1 1\n" * 150, r"an array of shape \(150, 2\): must be one weight a line"),
    ],
)
def test_weights_that_cannot_be_meant_are_one_line(text: Path, content: str | None, said: str) -> None:
    path = text.with_name("weights.txt")
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=said) as refused:
        load(text, weights=path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [np.ones(300) + 1j, np.zeros(300, dtype=[("a", "f8"), ("b", "f8")]), b"PK\x03\x04", b""],
    ids=["complex", "pairs", "an archive", "nothing"],
)
def test_arrays_that_are_no_weights_are_one_line(text: Path, content: np.ndarray | bytes) -> None:
    path = text.with_name("weights.npy")
    _ = path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(DataError, match=r"weights.npy: not one weight a line") as refused:
        load(text, weights=path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("unit", [1e-60, 1e60, 1e305])
def test_weights_mean_the_same_in_any_unit(rows: Rows, text: Path, unit: float, dtype: str) -> None:
    own, path = np.random.default_rng(1).uniform(0.5, 2.0, len(rows)), text.with_name("weights.npy")
    np.save(path, own * unit)
    found = load(text, weights=path, dtype=dtype).train.weights
    assert found is not None
    assert np.allclose(found, own / own.mean(), rtol=1e-6)


def test_weights_without_a_finite_sum_are_refused(rows: Rows) -> None:
    with pytest.raises(DataError, match="the sum of those of all rows that are trained on is not a finite"):
        weighted(replace(rows, weights=np.full(len(rows), 1e307)), None)


def test_test_rows_that_all_weigh_nothing_are_called_so(rows: Rows, text: Path) -> None:
    whole, path = load(text, test=0.25, seed=3), text.with_name("weights.npy")
    assert whole.test is not None
    tested = {tuple(row) for row in whole.test.to_scipy().toarray().tolist()}
    np.save(path, [float(tuple(row) not in tested) for row in rows.to_scipy().toarray().tolist()])
    with pytest.raises(DataError, match="all test rows have the weight 0"):
        load(text, test=0.25, seed=3, weights=path)
