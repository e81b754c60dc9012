"""Tests of loading."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from wpsgd.data import catalog
from wpsgd.data.load import Dataset, load
from wpsgd.data.svmlight import write_svmlight
from wpsgd.data.synthetic import problem, real_sim_twin
from wpsgd.errors import ConfigError, DataError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support_data import real_file


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, part: str = "train") -> Path:
        raise DataError(f"{name} could not be fetched (no network): http://example.org/a.bz2")

    monkeypatch.setattr(catalog, "fetch", refuse)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.svm"
    rows = problem(200, 40, 6, noise=0.1, spread=0.0).rows
    write_svmlight(path, replace(rows, values=3 * rows.values))
    return path


def dense(data: Dataset) -> np.ndarray:
    assert data.test is not None
    return np.vstack([data.train.to_scipy().toarray(), data.test.to_scipy().toarray()])


def test_a_file_is_loaded_by_its_path(file: Path) -> None:
    data = load(file)
    assert (len(data.train), data.test, data.truth, data.notes) == (200, None, None, ())


def test_the_split_puts_each_row_on_one_side_in_order(file: Path) -> None:
    whole = [row.tobytes() for row in load(file).train.to_scipy().toarray()]
    data = load(file, test=0.25, seed=3)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (150, 50)
    sides = [
        [whole.index(row.tobytes()) for row in side.to_scipy().toarray()] for side in (data.train, data.test)
    ]
    assert sides[0] == sorted(sides[0])
    assert sides[1] == sorted(sides[1])
    assert sorted(sides[0] + sides[1]) == list(range(200))


def test_the_split_depends_on_the_seed_alone(file: Path) -> None:
    first, again, other = (dense(load(file, test=0.3, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_side_of_a_split_has_a_row(tmp_path: Path) -> None:
    path = tmp_path / "three.svm"
    path.write_text("1 1:1\n-1 1:2\n1 1:3\n")
    small = load(path, test=0.01, seed=1)
    assert small.test is not None
    assert (len(small.train), len(small.test)) == (2, 1)


def test_rows_of_two_classes_with_one_row_each_are_not_split(tmp_path: Path) -> None:
    path = tmp_path / "two.svm"
    path.write_text("1 1:1\n-1 1:2\n")
    with pytest.raises(
        DataError, match=r"two\.svm: cannot be split: there is no class with a row for either"
    ):
        load(path, test=0.5)


def test_columns_that_no_training_row_has_are_left_out_of_a_test_file(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("1 1:1\n0 2:2\n")
    (tmp_path / "test").write_text("1 7:1\n1 1:1\n")
    (tmp_path / "both").write_text("1 1:3 2000000000:4\n")
    data = load(tmp_path / "train", test=tmp_path / "test")
    assert data.test is not None
    assert data.train.features == data.test.features == 2
    assert data.test.to_scipy().toarray().tolist() == [[0.0, 0.0], [1.0, 0.0]]
    scaled = load(tmp_path / "train", test=tmp_path / "both", unit_norm=True)
    assert scaled.test is not None
    # as it was in training: by all that the row holds
    np.testing.assert_allclose(scaled.test.to_scipy().toarray(), [[0.6, 0.0]])
    assert data.test.labels.tolist() == [1.0, 1.0]


def test_unit_norm_and_the_constant_column_reach_train_and_test(file: Path) -> None:
    data = load(file, test=0.2, unit_norm=True, constant_column=True)
    both = dense(data)
    assert np.array_equal(both[:, -1], np.ones(200))
    assert np.allclose(np.linalg.norm(both[:, :-1], axis=1), 1.0, rtol=1e-12)


def test_single_precision_reaches_all_arrays(file: Path) -> None:
    for source in (str(file), "digits", "breast-cancer"):
        rows = load(source, dtype="float32", unit_norm=True).train
        assert rows.values.dtype == rows.labels.dtype == np.float32


def test_a_twin_comes_with_its_truth() -> None:
    data, expected = load("real-sim-twin", scale=0.02, seed=4), real_sim_twin(0.02, seed=4)
    assert data.truth is not None
    assert np.array_equal(data.truth, expected.truth)
    assert np.array_equal(data.train.values, expected.rows.values)
    longer = load("real-sim-twin", scale=0.02, seed=4, constant_column=True)
    assert longer.truth is not None
    assert longer.truth[-1] == 0.0
    assert len(longer.truth) == longer.train.features


@pytest.mark.usefixtures("offline")
def test_the_twin_stands_in_for_a_set_that_cannot_be_fetched() -> None:
    data = load("real-sim", scale=0.02, seed=4)
    assert data.notes == (
        "real-sim could not be fetched (no network): its synthetic twin of the same shape stands in",
    )
    assert data.name == "real-sim-twin"
    assert np.array_equal(data.train.values, real_sim_twin(0.02, seed=4).rows.values)


@pytest.mark.usefixtures("offline")
def test_no_twin_stands_in_where_a_test_file_of_the_original_is_given(file: Path) -> None:
    with pytest.raises(DataError, match="real-sim could not be fetched"):
        load("real-sim", test=file)


def test_a_fetched_set_comes_with_its_own_test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train").write_text("1 1:1\n0 3:2\n1 2:1\n")
    (tmp_path / "test").write_text("0 4:1\n")
    monkeypatch.setattr(catalog, "fetch", lambda _, part="train": tmp_path / part)
    data = load("kdd2010", scale=0.5)
    assert data.test is not None
    assert (data.name, len(data.train), len(data.test), data.train.features) == ("kdd2010", 3, 1, 3)
    assert data.notes == ("scale = 0.5 is for synthetic data: kdd2010 is used whole",)
    split = load("kdd2010", test=0.3, seed=1)
    assert split.test is not None
    assert split.train.features == 3


def test_digits_tell_threes_from_the_rest() -> None:
    bunch, data = load_digits(), load("digits")
    assert np.array_equal(data.train.to_scipy().toarray() * 16, bunch.data)
    assert np.array_equal(data.train.labels > 0, bunch.target == 3)
    odd = load("digits", positive=[1, 3, 5, 7, 9])
    assert np.array_equal(odd.train.labels > 0, bunch.target % 2 == 1)


def test_breast_cancer_has_standardised_columns() -> None:
    data, bunch = load("breast-cancer"), load_breast_cancer()
    columns = data.train.to_scipy().toarray()
    assert np.allclose(columns.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(columns.std(axis=0), 1, rtol=1e-12)
    assert np.array_equal(data.train.labels > 0, bunch.target == 1)


@pytest.mark.parametrize("name", ["digits", "breast-cancer", "real-sim-twin"])
def test_the_catalogue_states_the_true_shape(name: str) -> None:
    entry, rows = catalog.entry(name), load(name).train
    assert (len(rows), rows.features) == (entry.rows, entry.features)
    assert rows.nonzeros == pytest.approx(entry.nonzeros, rel=0.02 if entry.origin == "synthetic" else 0)
    assert np.mean(rows.labels > 0) == pytest.approx(entry.positive_share, abs=0.01)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("real-sin", r"no data set is called 'real-sin'; did you mean 'real-sim'\?"),
        ("absent/some.svm", r"absent/some\.svm: no such file, nor is there a directory absent"),
        ("{folder}/sone.svm", r"sone\.svm: no such file; did you mean 'some\.svm'\?"),
        (
            "{folder}/empty",
            r"empty: cannot be read: is a directory without part files, and no store: there is no meta",
        ),
    ],
)
def test_a_source_that_is_not_there_is_refused(file: Path, source: str, message: str) -> None:
    (file.parent / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        load(source.format(folder=file.parent))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": 0.0}, r"test = 0\.0: a path, or a share of rows strictly between 0 and 1"),
        ({"test": 1}, r"test = 1: a path"),
        ({"test": True}, r"test = True: a path"),
        ({"test": "a.svm"}, r"test = a\.svm: digits takes a share of its rows, not a file"),
        ({"dtype": "int32"}, r"dtype = int32: allowed are float32, float64"),
        ({"dtype": "flot32"}, r"dtype = flot32: allowed are float32, float64"),
        ({"test": 0.5, "seed": -1}, r"seed = -1"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("digits", **arguments)


def test_a_positive_class_that_digits_do_not_have_is_refused() -> None:
    with pytest.raises(DataError, match=r"digits: positive class 12 does not occur; there are 0, 1, "):
        load("digits", positive=[12])


def test_real_train_and_test_files_agree_in_columns() -> None:
    data = load(real_file("reuters.bz2"), test=real_file("reuters.t.bz2"), unit_norm=True)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (7_770, 3_299)
    assert data.train.features == data.test.features == 8_315
