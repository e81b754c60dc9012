"""Tests of loading from a store, and of the cache of converted texts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wpsgd.data import cache
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.load import Dataset, load
from wpsgd.data.shards import in_stored_order, shard
from wpsgd.data.store import is_store, open_store
from wpsgd.data.svmlight import write_svmlight
from wpsgd.data.synthetic import problem
from wpsgd.errors import ConfigError, DataError


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "some.svm"
    rows = problem(200, 40, 6, noise=0.1, spread=0.0).rows
    write_svmlight(path, replace(rows, values=3 * rows.values))
    return path


@pytest.fixture
def store(text: Path, tmp_path: Path) -> Path:
    return convert(text, tmp_path / "store").path


def dense(data: Dataset) -> np.ndarray:
    """The training rows in the source's numbering of columns."""
    assert data.stored is not None
    return data.train.to_scipy().toarray()[:, np.argsort(data.stored.columns)]


def test_a_store_loads_as_its_text_does(text: Path, store: Path) -> None:
    ours, theirs = load(store), load(text)
    assert ours.stored is not None
    assert np.array_equal(dense(ours), theirs.train.to_scipy().toarray()[ours.stored.order])
    assert np.array_equal(ours.train.labels, theirs.train.labels[ours.stored.order])
    assert ours.notes == ()


def test_a_split_of_a_store_copies_nothing(store: Path) -> None:
    data = load(store, test=0.25)
    assert data.test is not None
    assert data.stored is not None
    assert (len(data.train), len(data.test), len(data.stored.order)) == (150, 50, 150)
    assert np.shares_memory(data.train.values, data.test.values)
    assert isinstance(data.train.values.base, np.memmap)


def test_a_test_file_is_read_in_the_numbering_of_the_store(text: Path, store: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.svm"
    test.write_text("1 2:0.1 60:1\n-1 1:1\n")
    ours, theirs = load(store, test=test), load(text, test=test)
    assert ours.test is not None
    assert theirs.test is not None
    assert ours.stored is not None
    assert ours.train.features == ours.test.features == theirs.test.features == 40
    back = ours.test.to_scipy().toarray()[:, np.argsort(ours.stored.columns)]
    assert np.array_equal(back, theirs.test.to_scipy().toarray())
    assert ours.test.labels.tolist() == [1, -1]


def test_a_test_file_with_a_third_class_is_refused(store: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.svm"
    test.write_text("3 2:5\n-1 1:1\n")
    with pytest.raises(DataError, match=r"store, .*test\.svm: 3 classes"):
        load(store, test=test)


def test_rows_scaled_at_conversion_are_not_scaled_again(text: Path, tmp_path: Path) -> None:
    folder = convert(text, tmp_path / "unit", Wishes(unit_norm=True)).path
    data = load(folder, unit_norm=True, test=0.1)
    assert isinstance(data.train.values.base, np.memmap)
    assert np.allclose(data.train.squared_norms(), 1.0)
    with pytest.raises(ConfigError, match=r"unit_norm = false: the rows of .* were scaled"):
        load(folder)


def test_rows_that_are_not_scaled_yet_are_scaled_with_a_note(store: Path) -> None:
    data = load(store, unit_norm=True)
    assert np.allclose(data.train.squared_norms(), 1.0)
    assert any("convert with --unit-norm" in note for note in data.notes)


def test_another_dtype_is_converted_with_a_note(store: Path) -> None:
    data = load(store, dtype="float32")
    assert data.train.values.dtype == np.float32
    assert any("holds float64" in note for note in data.notes)


def test_another_base_than_that_of_the_conversion_is_refused(store: Path) -> None:
    assert len(load(store, zero_based=False).train) == 200
    with pytest.raises(ConfigError, match=r"zero_based = True: .* counting from 1"):
        load(store, zero_based=True)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no store: there is no meta\.json"):
        load(tmp_path)


def test_random_shards_of_a_store_are_stretches() -> None:
    order = np.random.default_rng(0).permutation(20)
    for name, speeds in (("shuffled", None), ("proportional", (1.0, 0.5, 0.5))):
        shards = shard(name, 20, 3, speeds)
        placed = in_stored_order(name, shards, order)
        assert [len(rows) for rows in placed] == [len(rows) for rows in shards]
        assert np.array_equal(np.concatenate(placed), np.arange(20))


def test_contiguous_shards_of_a_store_are_those_of_the_source() -> None:
    order = np.random.default_rng(0).permutation(20)
    shards = shard("contiguous", 20, 3)
    placed = in_stored_order("contiguous", shards, order)
    assert [order[rows].tolist() for rows in placed] == [rows.tolist() for rows in shards]


# the cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WPSGD_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGE", 1)
    return tmp_path / "cache" / "stores"


def test_a_large_text_is_converted_once(text: Path, folder: Path) -> None:
    said: list[str] = []
    first = cache.stored(str(text), Wishes(), said.append)
    assert first is not None
    changed = (first / "meta.json").stat().st_mtime_ns
    assert cache.stored(str(text), Wishes(), said.append) == first
    assert (first / "meta.json").stat().st_mtime_ns == changed
    assert len(said) == 1
    assert "converted once" in said[0]
    assert [item.name for item in folder.iterdir()] == [first.name]


def test_a_changed_text_or_other_wishes_make_another_store(text: Path, folder: Path) -> None:
    first = cache.stored(str(text), Wishes(), lambda line: None)
    other = cache.stored(str(text), Wishes(unit_norm=True), lambda line: None)
    facts = text.stat()
    os.utime(text, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    touched = cache.stored(str(text), Wishes(), lambda line: None)
    assert len({first, other, touched}) == 3
    assert len(list(folder.iterdir())) == 3


def test_the_store_that_was_not_used_for_longest_leaves_a_full_cache(
    text: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = [Wishes(seed=seed) for seed in range(4)]
    first, second, third = (cache.stored(str(text), wish, lambda line: None) for wish in wishes[:3])
    assert first is not None
    assert second is not None
    assert third is not None
    assert len(list(folder.iterdir())) == 3
    for age, store in enumerate((second, third, first)):
        os.utime(store, (1e9 + age, 1e9 + age))
    one = sum(file.stat().st_size for file in first.iterdir())
    mapped = open_store(second)
    before = mapped.values.copy()
    monkeypatch.setenv("WPSGD_CACHE_GIB", str(3.5 * one / 2**30))
    said: list[str] = []
    fourth = cache.stored(str(text), wishes[3], said.append)
    assert set(folder.iterdir()) == {first, third, fourth}
    assert said[-1].startswith(f"note: {second.name} left the cache")
    assert np.array_equal(mapped.values, before)  # who has it open goes on
    # what is used again is young again
    for age, store in enumerate((third, first, fourth)):
        os.utime(store, (1e9 + age, 1e9 + age))
    assert cache.stored(str(text), wishes[2], said.append) == third
    monkeypatch.setenv("WPSGD_CACHE_GIB", str(2.5 * one / 2**30))
    again = cache.stored(str(text), wishes[1], said.append)
    assert set(folder.iterdir()) == {third, again}
    # and the one that was asked for stays, whatever the limit
    monkeypatch.setenv("WPSGD_CACHE_GIB", "0")
    last = cache.stored(str(text), wishes[0], said.append)
    assert set(folder.iterdir()) == {last}


def test_a_store_that_is_being_written_does_not_leave_the_cache(text: Path, folder: Path) -> None:
    kept = cache.stored(str(text), Wishes(), lambda line: None)
    assert kept is not None
    writing = folder / ".other.part"
    writing.mkdir()
    (writing / "meta.json").write_text("{}")
    assert cache.evict(kept, 0) == []
    assert writing.is_dir()


def test_other_processes_that_make_room_at_the_same_time_do_no_harm(text: Path, folder: Path) -> None:
    kept = cache.stored(str(text), Wishes(), lambda line: None)
    other = cache.stored(str(text), Wishes(seed=1), lambda line: None)
    assert kept is not None
    assert other is not None
    (other / "gone").symlink_to("nowhere")  # as a file that was seen, and is not there any more
    killed = folder / ".third.leaving"
    killed.mkdir()
    (killed / "values.npy").write_bytes(b"half of it")
    assert cache.evict(kept, 0) == [other.name]
    assert set(folder.iterdir()) == {kept}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("limit", ["-1", "nan", "inf", "much", "1e7", ""])
def test_a_limit_of_the_cache_that_cannot_be_meant_is_one_line(
    text: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setenv("WPSGD_CACHE_GIB", limit)
    with pytest.raises(ConfigError, match=r"^WPSGD_CACHE_GIB = .*: must be a number of GiB from 0 to 1e6$"):
        cache.stored(str(text), Wishes(), lambda line: None)


@pytest.mark.usefixtures("folder")
def test_what_was_cached_loads_under_the_name_of_its_text(text: Path) -> None:
    found = cache.stored(str(text), Wishes(), lambda line: None)
    data = load(text, store=found)
    assert data.name == str(text)
    assert data.stored is not None
    assert np.array_equal(dense(data), load(text).train.to_scipy().toarray()[data.stored.order])


def test_small_texts_and_synthetic_data_are_not_cached(
    text: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.stored("real-sim-twin", Wishes(), lambda line: None) is None
    assert cache.stored("breast-cancer", Wishes(), lambda line: None) is None
    monkeypatch.setattr(cache, "LARGE", 1 << 30)
    assert cache.stored(str(text), Wishes(), lambda line: None) is None
    assert not folder.exists()


def test_without_a_place_for_the_cache_the_text_is_read(
    text: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WPSGD_DATA_DIR", str(tmp_path / "file"))
    said: list[str] = []
    assert cache.stored(str(text), Wishes(), said.append) is None
    assert "is read as text: " in said[-1]
    assert not folder.exists()


def test_a_cache_that_another_host_does_not_see_is_named(text: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not there on this host: let WPSGD_DATA_DIR name"):
        load(text, store=tmp_path / "elsewhere")


@pytest.mark.usefixtures("folder")
def test_a_bad_text_is_an_error_with_its_place_and_leaves_no_store(tmp_path: Path) -> None:
    path = tmp_path / "bad.svm"
    path.write_text("1 1:1\n-1 3:x\n")
    with pytest.raises(DataError, match=r"bad\.svm:2:6: "):
        cache.stored(str(path), Wishes(), lambda line: None)


def test_a_store_is_told_from_other_folders(store: Path, tmp_path: Path) -> None:
    assert is_store(store)
    assert not is_store(tmp_path)
    assert open_store(store).meta.rows == 200
