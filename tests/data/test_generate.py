"""Synthetic stores: the same rows as in memory, and as by way of text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wpsgd.data.convert import Wishes, convert
from wpsgd.data.generate import generate
from wpsgd.data.load import load
from wpsgd.data.store import NAMES, Store
from wpsgd.data.svmlight import write_svmlight
from wpsgd.data.synthetic import BLOCK, Stream, kdd2010_shape, kdd2010_twin, real_sim_shape, real_sim_twin
from wpsgd.errors import DataError

SCALE = 0.0006  # 5,045 rows: two blocks, the second cut short


def array(store: Store, name: str) -> np.ndarray:
    return np.load(store.path / f"{name}.npy")


def test_a_generated_store_is_the_conversion_of_the_generated_text(tmp_path: Path) -> None:
    made = generate(Stream(kdd2010_shape(SCALE), seed=3), tmp_path / "made", "twin")
    write_svmlight(tmp_path / "twin.svm", kdd2010_twin(SCALE, seed=3).rows)
    converted = convert(tmp_path / "twin.svm", tmp_path / "store", Wishes(unit_norm=True, seed=3))
    seen = converted.meta.features
    assert made.meta.rows > BLOCK
    assert made.meta.features >= seen
    for name in set(NAMES) - {"columns"}:
        assert array(made, name).tobytes() == array(converted, name).tobytes(), name
    counted = len(np.unique(array(made, "indices")))  # the last columns of the text may be empty
    assert np.array_equal(array(made, "columns")[:counted], array(converted, "columns")[:counted])
    assert (made.meta.zero_based, made.meta.classes) == (converted.meta.zero_based, converted.meta.classes)


@pytest.mark.parametrize(
    ("twin", "shape", "scale"), [(kdd2010_twin, kdd2010_shape, SCALE), (real_sim_twin, real_sim_shape, 0.06)]
)
def test_stored_rows_are_those_of_memory_in_another_order(tmp_path: Path, twin, shape, scale) -> None:
    store = generate(Stream(shape(scale), 1, np.float32), tmp_path / "store", "twin")
    there = twin(scale, 1, np.float32).rows.unit_norm()
    here = store.rows()
    assert (len(here), here.features, here.nonzeros) == (len(there), there.features, there.nonzeros)
    numbers = array(store, "rows")
    assert np.array_equal(np.sort(numbers), np.arange(len(there)))
    expected = there.to_scipy()[numbers][:, array(store, "columns")]
    assert (here.to_scipy() != expected).nnz == 0
    assert np.array_equal(here.labels, there.labels[numbers])


def test_a_generated_store_loads_without_copies_and_models_leave_in_the_numbering_of_the_text(
    tmp_path: Path,
) -> None:
    stream = Stream(kdd2010_shape(SCALE), 2, np.float32)
    data = load(generate(stream, tmp_path / "store", "twin").path, unit_norm=True, dtype="float32")
    assert (data.zero_based, data.notes) == (False, ())
    assert data.stored is not None
    truth = data.stored.to_original(stream.truth[data.stored.columns])
    assert np.array_equal(truth, stream.truth)


def test_what_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    stream = Stream(real_sim_shape(0.01), 0)
    first = array(generate(stream, tmp_path / "store", "twin"), "values")
    with pytest.raises(DataError, match="exists already"):
        generate(stream, tmp_path / "store", "twin")
    other = generate(Stream(real_sim_shape(0.01), 1), tmp_path / "store", "twin", force=True)
    assert array(other, "values").tobytes() != first.tobytes()
