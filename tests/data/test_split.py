"""Tests of the test rows that are set aside: each class has its share of them, in text and in stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from wpsgd.data import load as loading
from wpsgd.data.convert import convert
from wpsgd.data.load import Dataset, load
from wpsgd.data.split import are_stratified, quotas, spread_evenly, stratified
from wpsgd.data.store import META, open_store

COUNTS = some.lists(some.integers(1, 400), min_size=2, max_size=5)
SHARES = some.floats(0.01, 0.99)


def written(path: Path, positive: int, negative: int) -> Path:
    labels = np.random.default_rng(1).permutation(np.repeat([1, -1], [positive, negative]))
    path.write_text("".join(f"{label} 1:{row + 1}\n" for row, label in enumerate(labels)))
    return path


def counted(data: Dataset) -> list[tuple[int, int]]:
    """(rows of +1, rows of -1) of training and test rows."""
    assert data.test is not None
    return [(int((part.labels > 0).sum()), int((part.labels < 0).sum())) for part in (data.train, data.test)]


@settings(deadline=None)
@given(counts=COUNTS, share=SHARES)
def test_each_class_gets_its_share_to_a_row(counts: list[int], share: float) -> None:
    known = np.array(counts)
    found = quotas(known, share)
    bounded = np.clip(known * share, np.minimum(1, known - 1), known - 1)
    assert (np.abs(found - bounded) < 1 + 1e-9).all()
    assert ((found >= 1) | (known == 1)).all()
    assert (found < known).all()


@settings(deadline=None)
@given(counts=COUNTS, share=SHARES, seed=some.integers(0, 9))
def test_test_rows_are_those_of_the_plain_split_where_that_was_stratified(
    counts: list[int], share: float, seed: int
) -> None:
    labels = np.random.default_rng(2).permutation(np.repeat(np.arange(len(counts)), counts))
    chosen = stratified(labels, share, seed)
    assert (
        np.bincount(labels[chosen], minlength=len(counts)).tolist()
        == quotas(np.array(counts), share).tolist()
    )
    first = np.random.default_rng(seed).permutation(len(labels))[: chosen.sum()]
    if np.bincount(labels[first], minlength=len(counts)).tolist() == quotas(np.array(counts), share).tolist():
        assert sorted(first) == np.flatnonzero(chosen).tolist()


@pytest.mark.parametrize(("positive", "negative"), [(500, 500), (50, 950), (3, 997), (2, 8), (1, 40)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_split_of_text_keeps_the_share_of_classes(
    tmp_path: Path, positive: int, negative: int, seed: int
) -> None:
    data = load(written(tmp_path / "a.svm", positive, negative), test=0.2, seed=seed)
    (_, _), (more, less) = counted(data)
    assert less == round(0.2 * negative)
    assert more == (max(1, round(0.2 * positive)) if positive > 1 else 0)
    rows = np.concatenate([part.values for part in (data.train, data.test) if part is not None])
    assert sorted(rows.tolist()) == [*range(1, positive + negative + 1)]


@pytest.mark.parametrize(("positive", "negative"), [(500, 500), (50, 950), (3, 997), (2, 8), (1, 40)])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_split_of_a_store_keeps_the_share_of_classes(
    tmp_path: Path, positive: int, negative: int, share: float
) -> None:
    store = convert(written(tmp_path / "a.svm", positive, negative), tmp_path / "store")
    data = load(store.path, test=share)
    (_, _), (more, less) = counted(data)
    assert less == pytest.approx(share * negative, abs=1.5)
    assert more == pytest.approx(np.clip(share * positive, min(1, positive - 1), positive - 1), abs=1.5)
    assert more >= min(1, positive - 1)
    assert more < positive
    assert not data.notes
    rows = np.concatenate(
        [part.values[part.indptr[0] : part.indptr[-1]] for part in (data.train, data.test) if part]
    )
    assert sorted(rows.tolist()) == [*range(1, positive + negative + 1)]
    # where rows come from is known after the split too
    assert data.stored is not None
    source = load(tmp_path / "a.svm").train
    assert np.array_equal(source.labels[data.stored.order], data.train.labels)


def test_a_large_store_is_split_without_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "COPIED", 0)
    store = convert(written(tmp_path / "a.svm", 90, 910), tmp_path / "store")
    data = load(store.path, test=0.3)
    assert np.shares_memory(data.train.values, data.test.values if data.test else None)
    assert counted(data)[1] == (pytest.approx(27, abs=1), pytest.approx(273, abs=1))
    assert not data.notes


def test_a_store_in_a_plain_random_order_says_what_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "wpsgd.data.arrange.spread_evenly", lambda numbers, seed: np.arange(len(numbers))[::-1]
    )
    path = tmp_path / "a.svm"
    path.write_text("".join(f"{1 if row < 30 else -1} 1:{row + 1}\n" for row in range(100)))
    store = convert(path, tmp_path / "store")
    meta = store.path / META
    meta.write_text(meta.read_text().replace("random, classes spread evenly", "random permutation"))
    assert open_store(store.path).meta.row_order == "random permutation"
    assert counted(load(store.path, test=0.3)) == [(21, 49), (9, 21)]  # small: copied
    monkeypatch.setattr(loading, "COPIED", 0)
    data = load(store.path, test=0.2)
    assert counted(data) == [(10, 70), (20, 0)]
    assert data.notes[0].endswith(
        "of the test rows 100 % are of class +1, of the training rows 12.5 %: convert it again to have them"
        " equal"
    )


@settings(deadline=None)
@given(counts=COUNTS, seed=some.integers(0, 9), start=some.floats(0, 1), length=some.floats(0, 1))
def test_any_stretch_of_rows_holds_its_share_of_each_class(
    counts: list[int], seed: int, start: float, length: float
) -> None:
    labels = np.random.default_rng(4).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.uint16)
    order = spread_evenly(labels, seed)
    assert sorted(order.tolist()) == [*range(len(labels))]
    first = int(start * len(labels))
    last = first + int(length * (len(labels) - first))
    found = np.bincount(labels[order[first:last]], minlength=len(counts))
    # a stretch is as long as its parts of all classes, each of which is off by a row at either end
    expected = np.array(counts) * (last - first) / len(labels)
    assert (np.abs(found - expected) <= 2 * len(counts)).all()
    assert np.array_equal(order, spread_evenly(labels, seed))


def test_the_order_is_random_within_and_between_classes() -> None:
    labels = np.repeat([0, 1], 5_000).astype(np.uint16)
    order = spread_evenly(labels, 0)
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05
    # classes do not take turns
    turns = np.mean(labels[order][1:] != labels[order][:-1])
    assert 0.5 < turns < 0.85
    assert not np.array_equal(order, spread_evenly(labels, 1))


def test_a_slice_that_lacks_a_class_is_not_stratified() -> None:
    labels = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, -1.0, -1.0])
    assert are_stratified(labels, slice(4, None), 0.5)
    assert not are_stratified(labels, slice(6, None), 0.25)
