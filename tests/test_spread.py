"""Distances of models, against those of whole vectors."""

import tracemalloc

import numpy as np
import pytest

from wpsgd.strategies.spread import STRETCH, squared_distance


@pytest.mark.parametrize("length", [1, STRETCH, 2 * STRETCH + 3])
def test_a_distance_is_that_of_the_whole_models(length: int) -> None:
    one, other = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    expected = np.square((one - other).astype(np.float64)).sum()
    assert squared_distance(one, other) == pytest.approx(expected, rel=1e-12)


def test_a_distance_takes_no_vector_as_wide_as_a_model() -> None:
    wide = np.ones(20 * STRETCH)
    tracemalloc.start()
    try:
        assert squared_distance(wide, wide) == 0.0
        assert tracemalloc.get_traced_memory()[1] < wide.nbytes / 4
    finally:
        tracemalloc.stop()


def test_models_out_of_range_are_infinitely_far_apart() -> None:
    assert squared_distance(np.full(3, 3e38, np.float32), np.full(3, -3e38, np.float32)) == np.inf
