"""Tests of the store, and of conversion into it."""

from __future__ import annotations

import bz2
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from wpsgd.data import arrange, svmlight_blocks
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.partial import Unwritable, appearing
from wpsgd.data.rows import Rows
from wpsgd.data.store import Store, open_store
from wpsgd.data.svmlight import read_classes, read_svmlight, write_svmlight
from wpsgd.data.synthetic import problem
from wpsgd.errors import ConfigError, DataError

FILES = ("indptr", "indices", "values", "labels", "columns", "rows")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """300 rows, some of them long, in small blocks and windows."""
    path = tmp_path / "some.svm"
    rows = problem(300, 200, 30, noise=0.1, spread=1.0).rows
    write_svmlight(path, replace(rows, values=3 * rows.values))
    return path


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svmlight_blocks, "BLOCK", 3000)
    monkeypatch.setattr(arrange, "WINDOW", 500)


def in_source_order(store: Store) -> Rows:
    """The rows as the source has them, by way of scipy."""
    matrix = store.rows().to_scipy().tocsc()
    back = matrix[:, np.argsort(store.columns)].tocsr()[np.argsort(store.order)]
    back.sort_indices()
    return Rows.from_scipy(back, store.rows().labels[np.argsort(store.order)])


def same(one: Rows, other: Rows) -> bool:
    names = ("indptr", "indices", "values", "labels")
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    return one.features == other.features and all(
        left.dtype == right.dtype and left.tobytes() == right.tobytes() for left, right in pairs
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_store_holds_what_the_text_holds(text: Path, tmp_path: Path, dtype: str) -> None:
    store = convert(text, tmp_path / "store", Wishes(dtype))
    assert same(in_source_order(store), read_svmlight(text, dtype=dtype))
    assert sorted(contents(tmp_path / "store")) == sorted(["meta.json", *(f"{name}.npy" for name in FILES)])


ROW = some.tuples(
    some.sampled_from([-1.0, 0.0, 2.5, 300.0]),
    some.dictionaries(some.integers(0, 300), some.floats(-9, 9), max_size=80),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(rows=some.lists(ROW, min_size=1, max_size=8), base=some.integers(0, 1), seed=some.integers(0, 9))
def test_every_value_label_and_column_comes_back(
    tmp_path: Path, rows: list[tuple[float, dict[int, float]]], base: int, seed: int
) -> None:
    rows = [(1.0, {0: 1.5}), *rows]
    path = tmp_path / "random.svm"
    entries = (" ".join(f"{key + base}:{row[key]!r}" for key in sorted(row)) for _, row in rows)
    path.write_text("".join(f"{label} {pairs}\n" for (label, _), pairs in zip(rows, entries, strict=True)))
    store = convert(path, tmp_path / "store", Wishes(seed=seed), force=True)
    assert sorted(store.order.tolist()) == list(range(len(rows)))
    assert sorted(store.columns.tolist()) == list(range(store.meta.features))
    for place, row in enumerate(store.order):
        entries_of = slice(store.indptr[place], store.indptr[place + 1])
        found = zip(store.columns[store.indices[entries_of]].tolist(), store.values[entries_of], strict=True)
        assert dict(found) == rows[row][1]
        assert store.labels[place] == rows[row][0]
        assert (np.diff(store.indices[entries_of]) > 0).all()


def test_any_number_of_jobs_gives_the_same_bytes(text: Path, tmp_path: Path) -> None:
    for jobs in (1, 3):
        convert(text, tmp_path / f"store-{jobs}", jobs=jobs)
    assert contents(tmp_path / "store-1") == contents(tmp_path / "store-3")


def test_a_compressed_text_gives_the_same_arrays(text: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(bz2.compress(text.read_bytes()))
    one, other = (convert(path, tmp_path / f"{path.name}-store") for path in (text, packed))
    assert same(one.rows(), other.rows())


def test_the_seed_decides_the_order_of_rows(text: Path, tmp_path: Path) -> None:
    first, again, other = (
        convert(text, tmp_path / f"store-{place}", Wishes(seed=seed)) for place, seed in enumerate((1, 1, 2))
    )
    assert np.array_equal(first.order, again.order)
    assert not np.array_equal(first.order, other.order)
    assert not np.array_equal(first.order, np.arange(300))


def test_the_most_frequent_column_comes_first(text: Path, tmp_path: Path) -> None:
    store = convert(text, tmp_path / "store")
    counts = np.bincount(store.indices, minlength=store.meta.features)
    assert (np.diff(counts) <= 0).all()
    assert counts[0] > counts[-1]


def test_weights_go_there_and_back(text: Path, tmp_path: Path) -> None:
    store = convert(text, tmp_path / "store")
    original = np.random.default_rng(0).standard_normal(store.meta.features)
    assert np.array_equal(store.to_original(store.from_original(original)), original)
    scores = read_svmlight(text).to_scipy() @ original
    assert np.allclose(store.rows().to_scipy() @ store.from_original(original), scores[store.order])


def test_rows_are_slices_of_the_mapped_files(text: Path, tmp_path: Path) -> None:
    store = convert(text, tmp_path / "store")
    part = store.rows(100, 150)
    assert len(part) == 50
    assert np.shares_memory(part.values, store.values)
    assert np.shares_memory(part.indptr, store.indptr)
    assert isinstance(store.values.base, np.memmap)
    assert not store.values.flags.writeable
    assert np.array_equal(part.to_scipy().toarray(), store.rows().to_scipy().toarray()[100:150])


def test_unit_norm_gives_the_bits_of_the_text_scaled(text: Path, tmp_path: Path) -> None:
    store = convert(text, tmp_path / "store", Wishes(unit_norm=True))
    assert store.meta.unit_norm
    assert same(in_source_order(store), read_svmlight(text).unit_norm())


def test_rows_of_a_text_are_renumbered_like_the_store(text: Path, tmp_path: Path) -> None:
    store = convert(text, tmp_path / "store")
    renumbered = store.relabelled(read_svmlight(text)).to_scipy()[store.order]
    assert np.array_equal(renumbered.toarray(), store.rows().to_scipy().toarray())


def test_rows_with_more_columns_keep_them_at_the_end(text: Path, tmp_path: Path) -> None:
    store = convert(text, tmp_path / "store")
    features = store.meta.features
    further = tmp_path / "further.svm"
    further.write_text(f"1 {store.columns[0] + 1}:5 {features + 3}:7\n")
    rows = store.relabelled(read_classes(further, zero_based=False)[0])
    assert (rows.indices.tolist(), rows.values.tolist()) == ([0, features + 2], [5, 7])


def test_what_is_known_of_a_store_is_written_in_it(text: Path, tmp_path: Path) -> None:
    meta = convert(text, tmp_path / "store", Wishes(seed=4)).meta
    rows = read_svmlight(text)
    assert (meta.rows, meta.features, meta.nonzeros) == (300, rows.features, rows.nonzeros)
    assert (meta.classes, meta.seed, meta.bad_lines) == ((-1, 1), 4, 0)
    assert (meta.source.name, meta.source.bytes) == ("some.svm", text.stat().st_size)
    digest = subprocess.run(["sha256sum", text], capture_output=True, text=True, check=True).stdout[:64]
    assert meta.source.sha256 == digest


def test_labels_stay_those_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.svm"
    path.write_text("3 1:1\n7.5 1:2\n3 1:3\n1000 1:4\n")
    store = convert(path, tmp_path / "store")
    assert store.labels[np.argsort(store.order)].tolist() == [3, 7.5, 3, 1000]
    assert store.labels.dtype == np.float64
    assert store.rows(positives=np.array([3.0])).labels[np.argsort(store.order)].tolist() == [1, -1, 1, -1]
    with pytest.raises(DataError, match=r"store: 3 classes \(3, 7\.5, 1000\)"):
        store.rows()


def test_small_whole_labels_take_a_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.svm"
    path.write_text("-128 1:1\n127 1:2\n-3 1:3\n")
    store = convert(path, tmp_path / "store")
    assert store.labels.dtype == np.int8
    signs = store.rows(positives=np.array([-128.0, -3.0])).labels
    assert signs[np.argsort(store.order)].tolist() == [1, -1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 1:1\n-1 3:x\n", r":2:6: value 'x' is not a number"),
        ("# nothing\n", r": no rows in it"),
        ("1\n-1\n", r": no index:value pair in it"),
        ("1 0:1 2147483647:1\n", r": 2147483648 features: at most 2147483647"),
    ],
)
def test_a_text_that_cannot_be_converted_leaves_nothing(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.svm"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bad\.svm" + message):
        convert(path, tmp_path / "store")
    assert [item.name for item in tmp_path.iterdir()] == ["bad.svm"]


def test_bad_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.svm"
    path.write_text("1 1:1\n-1 3:x\n-1 2:1\nspam\n")
    store = convert(path, tmp_path / "store", Wishes(skip_bad_lines=True))
    assert (store.meta.bad_lines, store.meta.rows) == (2, 2)


@pytest.mark.parametrize(
    ("wishes", "jobs", "message"),
    [
        ({"dtype": "int8"}, 1, "dtype = int8: allowed are float32, float64"),
        ({"seed": -1}, 1, "seed = -1"),
        ({"zero_based": 3}, 1, "zero_based = 3"),
        ({}, 0, "jobs = 0"),
    ],
)
def test_wishes_that_cannot_be_meant_are_refused(
    text: Path, tmp_path: Path, wishes: dict[str, object], jobs: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(text, tmp_path / "store", Wishes(**wishes), jobs=jobs)  # type: ignore[arg-type]


# what opens, and what does not


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["shorter", "absent", "other"])
def test_a_store_with_a_damaged_array_does_not_open(
    text: Path, tmp_path: Path, name: str, damage: str
) -> None:
    convert(text, tmp_path / "store")
    file = tmp_path / "store" / f"{name}.npy"
    if damage == "shorter":
        os.truncate(file, file.stat().st_size - 1)
    elif damage == "absent":
        file.unlink()
    else:
        np.save(file, np.load(file)[:-1])
    with pytest.raises(DataError, match=rf"{name}\.npy: .*; convert again") as caught:
        open_store(tmp_path / "store")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"store format 2; this version reads format 1: convert again"),
        ({"rows": 299}, r"the length of indptr does not fit the counts"),
        ({"rows": "many"}, r"meta\.json: rows: "),
        ({"arrays": {}}, r"arrays: indptr is missing"),
    ],
)
def test_a_store_that_describes_itself_wrongly_does_not_open(
    text: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    convert(text, tmp_path / "store")
    file = tmp_path / "store" / "meta.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=message):
        open_store(tmp_path / "store")


def test_a_folder_that_is_no_store_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no store: there is no meta\.json in it"):
        open_store(tmp_path)
    (tmp_path / "meta.json").write_text("[1")
    with pytest.raises(DataError, match=r"meta\.json: not the description of a store"):
        open_store(tmp_path)


# atomicity

KILLED = """
import sys, time
from wpsgd.data import convert as conversion
from wpsgd.data import arrange, partial
module, name = sys.argv[3].split(".")
owner = {"arrange": arrange, "conversion": conversion, "partial": partial}[module]
def stop(*arguments, **settings):
    print("there", flush=True)
    time.sleep(60)
setattr(owner, name, stop)
conversion.convert(sys.argv[1], sys.argv[2], jobs=1, force=True)
"""
STAGES = ["conversion.planned", "arrange.gather_rows", "conversion.meta_of", "partial._take_place"]


@pytest.mark.parametrize(
    ("stage", "before"), [*((stage, "nothing") for stage in STAGES), ("partial._take_place", "a store")]
)
def test_a_killed_conversion_leaves_what_was_there(
    text: Path, tmp_path: Path, stage: str, before: str
) -> None:
    folder = tmp_path / "store"
    if before == "a store":
        convert(text, folder, Wishes(seed=9))
    command = [sys.executable, "-c", KILLED, str(text), str(folder), stage]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        child.send_signal(signal.SIGKILL)
    if before == "a store":
        assert open_store(folder).meta.seed == 9
    else:
        with pytest.raises(DataError, match="no store"):
            open_store(folder)
    assert convert(text, folder, force=True).meta.seed == 0
    assert sorted(item.name for item in tmp_path.iterdir()) == ["some.svm", "store"]


def test_what_another_conversion_left_does_not_get_into_a_store(text: Path, tmp_path: Path) -> None:
    left = tmp_path / ".store.part"
    (left / "folder").mkdir(parents=True)
    (left / "stray").write_text("of a killed one")
    convert(text, tmp_path / "store")
    assert sorted(contents(tmp_path / "store")) == sorted(["meta.json", *(f"{name}.npy" for name in FILES)])
    assert not left.exists()


def test_a_folder_that_is_there_is_replaced_only_by_force(text: Path, tmp_path: Path) -> None:
    convert(text, tmp_path / "store")
    with pytest.raises(DataError, match="store: exists already"):
        convert(text, tmp_path / "store", Wishes(seed=5))
    assert open_store(tmp_path / "store").meta.seed == 0
    assert convert(text, tmp_path / "store", Wishes(seed=5), force=True).meta.seed == 5


def test_two_conversions_into_one_folder_do_not_mix(text: Path, tmp_path: Path) -> None:
    with (
        appearing(tmp_path / "store"),
        pytest.raises(DataError, match=r"\.store\.part: another process is writing it"),
    ):
        convert(text, tmp_path / "store")


def test_a_folder_that_cannot_be_written_is_named(text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unwritable, match=r"store: cannot be written: "):
        convert(text, tmp_path / "file" / "store")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_reported_in_one_line(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrange.Draft, "values_file", Path("/dev/full"))
    with pytest.raises(Unwritable, match=r"store: cannot be written: ") as caught:
        convert(text, tmp_path / "store")
    assert "\n" not in str(caught.value)
    assert [item.name for item in tmp_path.iterdir()] == ["some.svm"]


def test_columns_from_some_on_are_kept_by_name_alone(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = convert(text, tmp_path / "narrow")
    monkeypatch.setattr(arrange, "WIDE", 7)  # as if a table of more columns were too large
    wide = convert(text, tmp_path / "wide")
    occurring = np.unique(read_svmlight(text).indices)
    assert sorted(wide.columns.tolist()) == occurring.tolist()
    assert wide.meta.features == narrow.meta.features
    assert np.array_equal(wide.columns, narrow.columns[: len(occurring)])
    assert np.array_equal(wide.indices, narrow.indices)
    assert np.array_equal(wide.values, narrow.values)
    weights = np.arange(1.0, 1.0 + wide.meta.features)
    assert np.array_equal(wide.to_original(wide.from_original(weights)), weights)
    rows = read_svmlight(text)
    assert same(wide.relabelled(rows), narrow.relabelled(rows))


def test_one_large_index_takes_no_room_in_a_store(tmp_path: Path) -> None:
    (tmp_path / "far.svm").write_text("1 1:1 2147483647:2\n-1 1:-1 3:1\n")
    store = convert(tmp_path / "far.svm", tmp_path / "store")
    assert (store.meta.features, store.columns.tolist()) == (2147483647, [0, 2, 2147483646])
    assert sum(file.stat().st_size for file in store.path.iterdir()) < 1 << 14
