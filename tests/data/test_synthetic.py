"""Tests of the synthetic problems."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from wpsgd.data.row_generator import BLOCK, RowGenerator, Shape
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import Problem, kdd2010_twin, problem, real_sim_twin
from wpsgd.errors import ConfigError


def digest(made: Problem) -> str:
    rows = made.rows
    parts = (rows.indptr, rows.indices, rows.values, rows.labels, made.truth)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def accuracy_of_an_svm(rows: Rows, alpha: float) -> float:
    svm = LinearSVC(loss="hinge", C=1 / (alpha * len(rows)), fit_intercept=False, max_iter=100, tol=1e-2)
    return float(svm.fit(rows.to_scipy(), rows.labels).score(rows.to_scipy(), rows.labels))


@pytest.fixture(scope="module")
def twin() -> Problem:
    return real_sim_twin()


def test_the_real_sim_twin_has_the_shape_of_real_sim(twin: Problem) -> None:
    rows = twin.rows
    assert (len(rows), rows.features) == (72_309, 20_958)
    assert rows.nonzeros == pytest.approx(3_709_083, rel=0.02)
    assert np.mean(rows.labels > 0) == pytest.approx(0.31, abs=0.01)


def test_the_real_sim_twin_is_as_easy_as_real_sim(twin: Problem) -> None:
    assert 0.96 <= accuracy_of_an_svm(twin.rows, 1e-4) <= 0.98


def test_the_kdd_twin_scales_the_shape_of_kdd() -> None:
    rows = kdd2010_twin(scale=0.005).rows
    assert (len(rows), rows.features) == (round(8_407_752 * 0.005), round(20_216_830 * 0.005))
    assert rows.nonzeros / len(rows) == pytest.approx(36.35, rel=0.01)
    assert np.mean(rows.labels > 0) == pytest.approx(0.85, abs=0.01)


def test_many_columns_of_the_kdd_twin_are_seen_once() -> None:
    rows = kdd2010_twin(scale=0.01).rows
    assert np.mean(np.bincount(rows.indices, minlength=rows.features) == 1) > 0.1


def test_rows_have_unit_norm(twin: Problem) -> None:
    assert np.allclose(twin.rows.squared_norms(), 1.0, rtol=1e-12)


def test_indices_ascend_within_each_row(twin: Problem) -> None:
    rows = twin.rows
    steps = np.diff(rows.indices.astype(np.int64))
    within = np.ones(len(steps), dtype=bool)
    within[rows.indptr[1:-1] - 1] = False
    assert steps[within].min() > 0
    assert (steps[~within] <= 0).any()
    assert rows.indices.min() >= 0
    assert rows.indices.max() < rows.features


def test_row_lengths_are_skewed(twin: Problem) -> None:
    lengths = np.diff(twin.rows.indptr)
    assert lengths.mean() > 1.1 * np.median(lengths)
    assert lengths.max() > 5 * lengths.mean()


def test_a_few_columns_hold_much_of_the_entries_wherever_they_stand(twin: Problem) -> None:
    counts = np.bincount(twin.rows.indices, minlength=twin.rows.features)
    popular = np.argsort(counts)[::-1][:200]
    assert counts[popular].sum() > 0.25 * counts.sum()
    # were the columns sorted by popularity, the mean place of the popular ones would be 100
    assert np.mean(popular) == pytest.approx(twin.rows.features / 2, rel=0.2)


def test_labels_are_the_signs_of_the_truth_but_for_the_noise() -> None:
    for noise in (0.0, 0.2):
        made = problem(20_000, 500, 20, positive=0.4, noise=noise, seed=3)
        agree = np.sign(made.rows.to_scipy() @ made.truth) == made.rows.labels
        assert np.mean(agree) == pytest.approx(1 - noise, abs=0.01 if noise else 0.0)
        assert np.mean(made.rows.labels > 0) == pytest.approx(0.4, abs=0.02)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert digest(real_sim_twin(0.02, seed=5)) == digest(real_sim_twin(0.02, seed=5))
    assert digest(real_sim_twin(0.02, seed=5)) != digest(real_sim_twin(0.02, seed=6))


def test_fewer_rows_are_the_first_of_more_rows() -> None:
    count = BLOCK + 700
    few, many = (problem(rows, 300, 12, noise=0.1, seed=4) for rows in (count, 3 * BLOCK))
    head = many.rows[:count]
    assert np.array_equal(few.truth, many.truth)
    assert np.array_equal(few.rows.labels, head.labels)
    assert abs(few.rows.to_scipy() - head.to_scipy()).max() == 0.0


def test_a_block_does_not_depend_on_the_blocks_before_it() -> None:
    shape = Shape(2 * BLOCK, 300, 12)
    whole = problem(2 * BLOCK, 300, 12, seed=9).rows[BLOCK:]
    alone = RowGenerator(shape, seed=9).block(1)
    assert np.array_equal(alone.labels, whole.labels)
    assert np.array_equal(alone.values, whole.values[whole.indptr[0] :])


def test_blocks_differ_from_one_another() -> None:
    rows = problem(2 * BLOCK, 300, 12, seed=9).rows
    assert not np.array_equal(rows.labels[:BLOCK], rows.labels[BLOCK:])


def test_single_precision_is_the_rounded_double_precision() -> None:
    single, double = (real_sim_twin(0.02, dtype=dtype).rows for dtype in (np.float32, np.float64))
    assert single.values.dtype == single.labels.dtype == np.float32
    assert np.array_equal(single.values, double.values.astype(np.float32))


@pytest.mark.parametrize("dense", [(50, 4, 1.0), (1, 2, 1.0), (3000, 40, 10.0)])
def test_small_problems_fill_at_most_half_of_the_columns(dense: tuple[int, int, float]) -> None:
    rows = problem(*dense).rows
    assert len(rows) == dense[0]
    assert np.diff(rows.indptr).min() >= 1
    assert np.diff(rows.indptr).max() <= dense[1] // 2


def test_equal_values_in_a_row_without_tf_idf() -> None:
    rows = problem(100, 50, 5, tf_idf=False).rows
    lengths = np.diff(rows.indptr)
    assert np.allclose(rows.values, np.repeat(1 / np.sqrt(lengths), lengths), rtol=1e-15)


def test_topicality_widens_the_margins() -> None:
    def typical_margin(topicality: float) -> float:
        made = problem(BLOCK, 2000, 30, topicality=topicality)
        return float(np.median(np.abs(made.rows.to_scipy() @ made.truth)))

    assert typical_margin(1.0) > 1.5 * typical_margin(0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "rows = 0: at least 1"),
        ({"features": 2**31}, "features = 2147483648: 2 to 2147483647"),
        ({"nonzeros_per_row": 30}, "nonzeros_per_row = 30: 1 to a quarter of the 100 features"),
        ({"noise": 0.5}, "noise = 0.5: 0 to below 0.5"),
        ({"noise": 0.3, "positive": 0.3}, "positive = 0.3: between noise and 1 - noise"),
        ({"exponent": 0.0}, "exponent = 0.0: above 0"),
        ({"head": -1.0}, "head = -1.0: above 0"),
        ({"spread": -0.1}, "spread = -0.1: at least 0"),
        ({"topicality": 1.5}, "topicality = 1.5: 0 to 1"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_impossible_problems_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        problem(**({"rows": 10, "features": 100, "nonzeros_per_row": 5} | change))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_no_positive_number_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="a number above 0 is needed"):
        real_sim_twin(scale)
