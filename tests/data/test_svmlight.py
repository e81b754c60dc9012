"""Tests of svmlight text."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from wpsgd.data.rows import Rows
from wpsgd.data.svmlight import read_svmlight, read_together, write_svmlight
from wpsgd.errors import ConfigError, DataError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support_data import real_file

Write = Callable[..., Path]

FINITE = some.floats(allow_nan=False, allow_infinity=False)
ENTRIES = some.dictionaries(some.integers(0, 60), FINITE, max_size=6)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def into(text: str | bytes, name: str = "some.svm") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return into


def same(one: Rows, other: Rows) -> bool:
    pairs = [(one.indptr, other.indptr), (one.indices, other.indices), (one.values, other.values)]
    pairs.append((one.labels, other.labels))
    return one.features == other.features and all(
        left.dtype == right.dtype and left.tobytes() == right.tobytes() for left, right in pairs
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=some.lists(ENTRIES, min_size=2, max_size=8), base=some.integers(0, 1))
def test_valid_text_reads_as_scikit_learn_reads_it(
    tmp_path: Path, rows: list[dict[int, float]], base: int
) -> None:
    rows[0][0] = 1.5
    text = "".join(
        f"{row % 2} "
        + " ".join(f"{index + base}:{value!r}" for index, value in sorted(entries.items()))
        + "\n"
        for row, entries in enumerate(rows)
    )
    path = tmp_path / "random.svm"
    path.write_text(text)
    ours, (matrix, labels) = read_svmlight(path), load_svmlight_file(str(path))
    assert ours.features == matrix.shape[1]
    assert np.array_equal(ours.to_scipy().toarray(), matrix.toarray())
    assert np.array_equal(ours.labels, 2 * labels - 1)


def test_comments_blank_lines_crlf_and_query_ids_are_understood(write: Write) -> None:
    path = write("# a comment\r\n\r\n+1 qid:3 1:0.5 4:2  \r\n  -1 2:1e-3 # the end\r\n# done")
    rows = read_svmlight(path)
    assert rows.labels.tolist() == [1.0, -1.0]
    assert rows.to_scipy().toarray().tolist() == [[0.5, 0, 0, 2], [0, 0.001, 0, 0]]


def test_zero_based_files_are_recognised(write: Write) -> None:
    assert read_svmlight(write("1 0:1 2:1\n-1 1:1\n")).indices.tolist() == [0, 2, 1]
    assert read_svmlight(write("1 1:1 3:1\n-1 2:1\n")).indices.tolist() == [0, 2, 1]


def test_a_stated_base_overrules_the_guess(write: Write) -> None:
    path = write("1 1:1 3:1\n-1 2:1\n")
    assert read_svmlight(path, zero_based=True).features == 4
    assert read_svmlight(path, zero_based=False).features == 3


def test_files_read_together_share_base_columns_and_classes(write: Write) -> None:
    train = write("2 0:1 3:1\n1 1:1\n", "train.svm")
    test = write("1 1:1 9:1\n", "test.svm")
    (first, second), zero_based, *_ = read_together([train, test])
    assert first.features == second.features == 10
    assert second.indices.tolist() == [1, 9]
    assert second.labels.tolist() == [-1.0]
    assert zero_based


@pytest.mark.parametrize(("low", "high"), [("0", "1"), ("1", "2"), ("-1", "+1"), ("-3.5", "1e2")])
def test_the_larger_of_two_labels_is_positive(write: Write, low: str, high: str) -> None:
    assert read_svmlight(write(f"{high} 1:1\n{low} 1:1\n{high} 1:1\n")).labels.tolist() == [1, -1, 1]


def test_named_classes_become_positive(write: Write) -> None:
    path = write("1 1:1\n2 1:1\n3 1:1\n2 1:1\n")
    assert read_svmlight(path, positive=[1, 3]).labels.tolist() == [1, -1, 1, -1]


def test_single_precision_is_read_as_asked(write: Write) -> None:
    rows = read_svmlight(write("1 1:0.1\n-1 1:3\n"), dtype=np.float32)
    assert rows.values.dtype == rows.labels.dtype == np.float32
    assert rows.values[0] == np.float32(0.1)


def test_more_features_than_the_file_has_are_empty_columns(write: Write) -> None:
    assert read_svmlight(write("1 1:1\n-1 2:1\n"), features=9).features == 9


@pytest.mark.parametrize(
    ("compress", "suffix"), [(bz2.compress, "bz2"), (gzip.compress, "gz"), (lzma.compress, "xz")]
)
def test_compressed_files_are_recognised_whatever_their_name(
    write: Write, compress: Callable[[bytes], bytes], suffix: str
) -> None:
    text = b"1 1:0.25\n-1 2:4\n"
    expected = read_svmlight(write(text, "plain"))
    assert same(read_svmlight(write(compress(text), f"a.{suffix}")), expected)
    assert same(read_svmlight(write(compress(text), "unnamed")), expected)


@pytest.mark.parametrize(
    ("compress", "suffix"), [(bz2.compress, "bz2"), (gzip.compress, "gz"), (lzma.compress, "xz")]
)
@pytest.mark.parametrize("damage", ["cut off", "corrupt"])
def test_damaged_compressed_files_are_refused(
    write: Write, compress: Callable[[bytes], bytes], suffix: str, damage: str
) -> None:
    random = np.random.default_rng(0)
    whole = compress(b"".join(b"%d 1:%r\n" % (row % 2, random.random()) for row in range(5000)))
    middle = len(whole) // 2
    broken = whole[:middle] if damage == "cut off" else whole[:middle] + bytes(64) + whole[middle + 64 :]
    with pytest.raises(
        DataError, match=rf"a\.{suffix}: the compressed data are corrupt or cut off after line \d+"
    ):
        read_svmlight(write(broken, f"a.{suffix}"))


BAD_TEXT = [
    ("1 1:1\n-1 3:\n", r":2:6: '3:' has no value"),
    ("1 1:1\n-1 :2\n", r":2:4: ':2' has no index"),
    ("1 a:1\n", r":1:3: index 'a' is not an integer"),
    ("1 1:b\n", r":1:5: value 'b' is not a number"),
    ("1 1:1 7\n", r":1:7: '7' is not index:value"),
    ("1 1:1\n3:1 4:1\n", r":2:1: '3:1' stands where the label should be"),
    ("1,2 3:1\n", r":1:1: label '1,2' is not a number"),
    ("spam 3:1\n", r":1:1: label 'spam' is not a number"),
    ("nan 3:1\n", r":1:1: label 'nan' is not finite"),
    ("1 1:1\n# note\n\n-1 1:0 2:inf\n", r":4:10: value 'inf' is not finite"),
    ("1 1:nan\n-1 1:1\n", r":1:5: value 'nan' is not finite"),
    ("1 1:1e999\n-1 1:1\n", r":1:5: value '1e999' is not finite"),
    ("1 1:1\n-1 -3:1\n", r":2:4: index -3 is negative"),
    ("1 2147483648:1\n-1 1:1\n", r":1:3: index 2147483648 is beyond int32 \(2147483647\)"),
    ("1 99999999999999999999999:1\n-1 1:1\n", r":1:3: index 99999999999999999999999 is beyond int32"),
    ("1 3:1 2:1\n", r":1:7: index 2 follows 3: indices must ascend"),
    ("1 3:1 3:1\n", r":1:7: index 3 occurs twice"),
    ("\x00\x01\x02", r":1:1: label .* is not a number"),
    ("", r": no rows in it"),
    ("# nothing\n\n", r": no rows in it"),
    ("1\n-1\n", r": no index:value pair in it"),
    ("1 1:1\n1 2:1\n", r": only one class \(1\), two are needed"),
    (
        "1 1:1\n2 2:1\n5 1:1\n",
        r": 3 classes \(1, 2, 5\): name those that become \+1, .*\[data\] positive = \[5\]",
    ),
    ("".join(f"{label} 1:1\n" for label in range(20)), r": 20 classes \(0, 1, .*, 9, \.\.\.\): name"),
    ("1 0:1 2147483647:1\n-1 1:1\n", r": 2147483648 features: at most 2147483647 \(int32\)"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEXT)
def test_bad_text_is_refused_with_its_place(write: Write, text: str, message: str) -> None:
    with pytest.raises(DataError, match=r"bad\.svm" + message) as caught:
        read_svmlight(write(text, "bad.svm"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"zero_based": False}, DataError, r":2:3: index 0 in a file that is said to count from 1"),
        ({"features": 4}, DataError, r": has 5 features, more than the 4 that were given"),
        ({"positive": [3]}, DataError, r": positive class 3 does not occur; there are 1, 2"),
        ({"positive": [1, 2]}, DataError, r": all classes \(1, 2\) are named positive"),
        ({"positive": []}, ConfigError, r": positive = \[\] names no class; there are 1, 2"),
        ({"zero_based": "maybe"}, ConfigError, r'zero_based = \'maybe\': allowed are true, false, "auto"'),
    ],
)
def test_settings_that_do_not_fit_the_file_are_refused(
    write: Write, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_svmlight(write("1 4:1\n2 0:1\n"), **settings)


def test_a_value_too_large_for_single_precision_is_refused(write: Write) -> None:
    path = write("1 1:1e300\n-1 1:1\n")
    assert read_svmlight(path).values[0] == 1e300
    with pytest.raises(DataError, match=r":1:5: value '1e300' is not finite"):
        read_svmlight(path, dtype=np.float32)


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.svm: cannot be read: no such file"):
        read_svmlight(tmp_path / "absent.svm")
    with pytest.raises(DataError, match=r": cannot be read: is a directory"):
        read_svmlight(tmp_path)


def test_a_compressed_name_over_plain_text_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"a\.bz2: named \.bz2 but its first bytes are not"):
        read_svmlight(write("1 1:1\n-1 1:1\n", "a.bz2"))


def written(dtype: type, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    dense = np.where(
        random.random((50, 20)) < 0.3, random.standard_normal((50, 20)) * 10.0 ** random.integers(-30, 30), 0
    )
    dense[:, -1] = 1 / 3
    return Rows.from_scipy(sparse.csr_array(dense.astype(dtype)), np.where(random.random(50) < 0.5, 1, -1))


@pytest.mark.parametrize("name", ["a.svm", "a.svm.bz2", "a.svm.gz", "a.svm.xz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_written_rows_read_back_bit_for_bit(tmp_path: Path, name: str, dtype: type) -> None:
    rows = written(dtype)
    write_svmlight(tmp_path / name, rows)
    assert same(read_svmlight(tmp_path / name, dtype=dtype), rows)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_slice_is_written_as_its_own_rows(tmp_path: Path) -> None:
    rows = written(np.float64)
    write_svmlight(tmp_path / "part", rows[10:30])
    back = read_svmlight(tmp_path / "part")
    assert np.array_equal(back.to_scipy().toarray(), rows.to_scipy().toarray()[10:30])


def test_an_existing_file_is_overwritten_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "a.svm"
    path.write_text("precious")
    with pytest.raises(DataError, match=r"a\.svm: exists already"):
        write_svmlight(path, written(np.float64))
    assert path.read_text() == "precious"
    write_svmlight(path, written(np.float64), force=True)
    assert same(read_svmlight(path), written(np.float64))


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    rows = written(np.float64)
    broken = replace(rows, labels=np.where(np.arange(50) == 40, np.nan, rows.labels))
    path = tmp_path / "a.svm"
    path.write_text("precious")
    with pytest.raises(ValueError, match="NaN"):
        write_svmlight(path, broken, force=True)
    assert [item.name for item in tmp_path.iterdir()] == ["a.svm"]
    assert path.read_text() == "precious"


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.svm: cannot be written: no such file or directory"):
        write_svmlight(tmp_path / "absent" / "a.svm", written(np.float64))


def test_sample_weights_have_no_place_in_the_text(tmp_path: Path) -> None:
    rows = written(np.float64)
    with pytest.raises(DataError, match="no place for sample weights"):
        write_svmlight(tmp_path / "a.svm", replace(rows, weights=np.ones(50)))


@pytest.mark.parametrize(
    ("name", "rows", "features", "nonzeros", "positive"),
    [
        ("a9a.bz2", 32_561, 123, 451_592, 0.24),
        ("a9a.t.bz2", 16_281, 123, 225_732, 0.24),
        ("reuters.bz2", 7_770, 8_315, 339_837, 0.07),
        ("reuters.t.bz2", 3_299, 8_315, 136_821, None),
    ],
)
def test_real_files_have_their_known_shapes(
    name: str, rows: int, features: int, nonzeros: int, positive: float | None
) -> None:
    read = read_svmlight(real_file(name))
    assert (len(read), read.nonzeros) == (rows, nonzeros)
    assert read.features == features
    assert positive is None or np.mean(read.labels > 0) == pytest.approx(positive, abs=0.005)


def test_a_multi_class_file_needs_its_positives_named() -> None:
    path = real_file("news20.bz2")
    with pytest.raises(DataError, match=r"20 classes \(1, 2, "):
        read_svmlight(path)
    rows = read_svmlight(path, positive=range(1, 11))
    assert (len(rows), rows.features, rows.nonzeros) == (15_935, 62_061, 1_272_569)
    assert np.mean(rows.labels > 0) == pytest.approx(0.5, abs=0.01)


def test_zeros_of_both_signs_are_written_as_they_are(tmp_path: Path) -> None:
    rows = replace(
        written(np.float64), values=np.where(np.arange(written(np.float64).values.size) % 2, 0.0, -0.0)
    )
    write_svmlight(tmp_path / "a.svm", rows)
    assert same(read_svmlight(tmp_path / "a.svm", features=rows.features), rows)
