"""Tests of where text comes from: pipes, folders and patterns of part files, other tools' files."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_svmlight_file

from wpsgd.data import svmlight_blocks
from wpsgd.data.cache import stored
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.load import load
from wpsgd.data.rows import Rows
from wpsgd.data.svmlight import read_part, read_svmlight, read_together, write_svmlight
from wpsgd.errors import ConfigError, DataError

WAIT = 60.0


def text(rows: int = 400, seed: int = 0) -> bytes:
    chance = np.random.default_rng(seed)
    lines = []
    for _ in range(rows):
        columns = np.flatnonzero(chance.random(30) < 0.3) + 1
        pairs = " ".join(f"{column}:{chance.standard_normal()!r}" for column in columns)
        lines.append(f"{chance.choice((-1, 1)):+d} {pairs}\n")
    return "".join(lines).encode()


def dense(rows: Rows) -> Any:
    return np.column_stack([rows.labels, rows.to_scipy().toarray()])


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.svm"
    path.write_bytes(text())
    return path


@contextmanager
def fifo(path: Path, content: bytes, piece: int = 7) -> Iterator[Path]:
    """A pipe with a name into which somebody writes, a few bytes first."""
    os.mkfifo(path)

    def write() -> None:
        try:
            with path.open("wb", buffering=0) as stream:
                stream.write(content[:piece])
                stream.write(content[piece:])
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield path
    writer.join(WAIT)
    assert not writer.is_alive()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("piece", [1, 3, 7])
def test_a_pipe_gives_the_rows_of_the_file(tmp_path: Path, plain: Path, packed: bool, piece: int) -> None:
    content = gzip.compress(text()) if packed else text()
    with fifo(tmp_path / "pipe", content, piece) as pipe:
        assert np.array_equal(dense(read_svmlight(pipe)), dense(read_svmlight(plain)))


def test_a_pipe_is_converted_to_the_same_store(tmp_path: Path, plain: Path) -> None:
    expected = convert(plain, tmp_path / "from-file")
    with fifo(tmp_path / "pipe", gzip.compress(text())) as pipe:
        found = convert(pipe, tmp_path / "from-pipe")
    assert np.array_equal(dense(found.rows()), dense(expected.rows()))
    assert found.meta.source.bytes == 0
    with fifo(tmp_path / "other", text(seed=1)) as pipe:
        other = convert(pipe, tmp_path / "other-store")
    assert other.meta.source.sha256 != found.meta.source.sha256


def test_a_pipe_is_loaded_and_split(tmp_path: Path, plain: Path) -> None:
    with fifo(tmp_path / "pipe", text()) as pipe:
        assert stored(str(pipe), Wishes(), print) is None  # the cache leaves it alone
        found, expected = load(pipe, test=0.25), load(plain, test=0.25)
    assert found.test is not None
    assert expected.test is not None
    assert np.array_equal(dense(found.test), dense(expected.test))


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch, plain: Path, name: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text())))
    assert np.array_equal(dense(read_svmlight(name)), dense(read_svmlight(plain)))
    with pytest.raises(DataError, match=r"was read already, and a pipe can be read once: write it to a file"):
        read_svmlight(name)


def test_a_pipe_without_a_name_is_read_once(plain: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, text(20))
    os.close(writer)
    path = f"/dev/fd/{reader}"
    assert len(read_svmlight(path)) == 20
    with pytest.raises(DataError, match=r"was read already"):
        read_svmlight(path)
    os.close(reader)


def test_closed_standard_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match=r"-: standard input is closed"):
        read_svmlight("-")


def test_one_pipe_is_not_two_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("-", tmp_path / "pipe"):
        with pytest.raises(ConfigError, match=r"is a pipe, which can be read once, and is named twice"):
            read_together([path, path])


def test_several_readers_of_one_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe: is a pipe, which can be read once, and 2 ranks are to share"):
        read_part(tmp_path / "pipe", 1, 2)


def test_a_pipe_that_ends_within_compressed_data_is_refused(tmp_path: Path) -> None:
    with (
        fifo(tmp_path / "pipe", gzip.compress(text())[:-300]) as pipe,
        pytest.raises(DataError, match=r"pipe: the compressed data of the pipe are corrupt or cut off"),
    ):
        read_svmlight(pipe)


def parts_of(folder: Path, content: bytes, count: int, *, packed: int = 0) -> Path:
    """Part files as Spark writes them; the first `packed` of them compressed; one is empty."""
    folder.mkdir()
    lines = content.splitlines(keepends=True)
    for number in range(count):
        own = b"".join(lines[len(lines) * number // count : len(lines) * (number + 1) // count])
        name, body = (f"part-{number:05}.gz", gzip.compress(own)) if number < packed else ("", own)
        (folder / (name or f"part-{number:05}")).write_bytes(body if packed else own.rstrip(b"\n"))
    (folder / f"part-{count:05}").write_bytes(b"")
    (folder / "_SUCCESS").write_bytes(b"")
    (folder / ".part-00000.crc").write_bytes(b"crc\x00\x01")
    return folder


@pytest.mark.parametrize("packed", [0, 2])
def test_a_folder_or_a_pattern_of_parts_is_the_whole(tmp_path: Path, plain: Path, packed: int) -> None:
    folder = parts_of(tmp_path / "parts", text(), 5, packed=packed)
    expected = dense(read_svmlight(plain))
    for source in (folder, f"{folder}/part-*", f"{tmp_path}/p*ts", f"{folder}/*"):
        assert np.array_equal(dense(read_svmlight(source)), expected), source
    assert np.array_equal(dense(load(folder).train), expected)
    assert np.array_equal(
        dense(convert(folder, tmp_path / "a").rows()), dense(convert(plain, tmp_path / "b").rows())
    )


def test_parts_agree_on_base_and_width(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "part-0").write_text("1 1:1 2:1\n")
    (folder / "part-1").write_text("-1 0:1\n")
    (folder / "part-2").write_text("1 9:1\n")
    rows = read_svmlight(folder)
    assert rows.features == 10
    assert rows.indices.tolist() == [1, 2, 0, 9]


@pytest.mark.parametrize("ranks", [2, 3, 7])
@pytest.mark.parametrize("packed", [0, 1])
def test_ranks_share_out_all_parts(tmp_path: Path, plain: Path, ranks: int, packed: int) -> None:
    folder = parts_of(tmp_path / "parts", text(60), 4, packed=packed)
    shares = [read_part(folder, rank, ranks) for rank in range(ranks)]
    labels = np.concatenate([share.labels for share in shares])
    plain.write_bytes(text(60))
    assert np.array_equal(labels, read_svmlight(plain).labels)
    values = np.concatenate([share.table.values for share in shares])
    assert np.array_equal(values, read_svmlight(plain).values)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("ranks", [1, 3])
def test_a_fault_is_named_by_its_part_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, ranks: int
) -> None:
    monkeypatch.setattr(svmlight_blocks, "BLOCK", 300)
    folder = parts_of(tmp_path / "parts", text(), 3)
    bad = folder / "part-00001"
    lines = bad.read_bytes().splitlines()
    bad.write_bytes(b"\n".join([*lines[:77], b"1 3:x", *lines[77:]]))

    def read() -> None:
        if ranks == 1:
            list(svmlight_blocks.read_blocks(folder, svmlight_blocks.Terms(), jobs))
        else:
            _ = [read_part(folder, rank, ranks) for rank in range(ranks)]

    with pytest.raises(DataError, match=r"parts/part-00001:78:5: value 'x' is not a number"):
        read()


def test_folders_and_patterns_that_hold_no_parts_are_refused(tmp_path: Path, plain: Path) -> None:
    convert(plain, tmp_path / "store")
    (tmp_path / "deep" / "day-1").mkdir(parents=True)
    for source, message in (
        ("none-*", r"none-\*: no such file, and none matches the pattern"),
        ("store", r"store: is a folder of wpsgd data convert, where svmlight text is needed"),
        ("deep", r"deep: holds a folder, day-1: name the files of all by a pattern, .*deep/\*/part-\*"),
    ):
        with pytest.raises(DataError, match=message):
            read_svmlight(tmp_path / source)


def test_large_parts_are_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wpsgd.data.cache.LARGE", 1000)
    monkeypatch.setenv("WPSGD_DATA_DIR", str(tmp_path / "cache"))
    folder = parts_of(tmp_path / "parts", text(), 3)
    first, said = stored(f"{folder}/part-*", Wishes(), lambda line: None), []
    assert first == stored(f"{folder}/part-*", Wishes(), said.append)
    assert not said
    (folder / "part-00001").write_bytes(text(10))
    assert first != stored(f"{folder}/part-*", Wishes(), said.append)


def test_variables_and_home_folders_are_replaced(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PLACE", str(plain.parent))
    monkeypatch.setenv("HOME", str(plain.parent))
    for source in ("$SOME_PLACE/plain.svm", "${SOME_PLACE}/plain.svm", "~/plain.svm", "$SOME_PLACE/pl*.svm"):
        assert len(load(source).train) == 400
    monkeypatch.delenv("SOME_PLACE")
    with pytest.raises(DataError, match=r"the environment variable \$SOME_PLACE is not set"):
        load("$SOME_PLACE/plain.svm")


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.svm", text(5))
    return stream.getvalue()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ones(5))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(), r"a\.svm: is a zip archive, .* unpack it first"),
        (b"PAR1\x15\x04\x15", r"a\.svm: is a Parquet file"),
        (array(), r"a\.svm: is a NumPy array"),
        (text(3).decode().encode("utf-16"), r"a\.svm: is UTF-16 text"),
        (text(3).decode().encode("utf-16-be"), r"a\.svm: is UTF-16 text, .*UTF-16BE"),
        (text(3).decode().encode("utf-32"), r"a\.svm: is UTF-32 text"),
        (gzip.compress(b"a.svm".ljust(257, b"\0") + b"ustar"), r"a\.svm: is a tar archive"),
        (b"<!DOCTYPE html>\n<html>", r"a\.svm: is an HTML or XML page"),
        (b"1,0.5,2\n", r"a\.svm:1:1: .* \(this looks like CSV"),
        (b"label;x;y\n1;2;3\n", r"a\.svm:1:1: .* \(this looks like CSV"),
        (b"1\t0.5\t2\n", r"a\.svm:1:3: .* \(this looks like a table of numbers"),
        (b"1 |f a:1 b:2\n", r"a\.svm:1:3: .* \(this looks like Vowpal Wabbit"),
        (b"|f a:1\n", r"a\.svm:1:1: .* \(this looks like Vowpal Wabbit"),
        (b"1 0:1:0.5 1:3:1\n", r"a\.svm:1:5: .* \(this looks like libffm"),
        (b"@relation x\n", r"a\.svm:1:1: .* \(this looks like ARFF"),
        (b'{"y": 1}\n', r"a\.svm:1:1: .* \(this looks like JSON"),
        (b"1:0.7 1:0.5\n", r"a\.svm:1:1: .* label:weight as XGBoost reads it: .* \[data\] weights"),
        (b"1,3 1:0.5\n", r"a\.svm:1:1: .* \(several labels a row, or a decimal comma"),
        (b"1 1:0,5\n", r"a\.svm:1:5: value '0,5' is not a number \(is that a decimal comma\?"),
        (b"spam 1:1\n", r"a\.svm:1:1: label 'spam' is not a number \(labels must be numbers"),
        (b"1 1:1\r-1 1:2\r1 2:1\n", r"a\.svm:1:7: .* carriage returns alone"),
        (b"1 " + b"x" * 5000 + b"\n", r"a\.svm:1:3: 'x{40}\.\.\.' is not index:value"),
    ],
)
def test_other_formats_are_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.svm"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_svmlight(path)
    assert "\n" not in str(caught.value)


def test_a_compression_that_cannot_be_written_is_no_plain_text(tmp_path: Path, plain: Path) -> None:
    with pytest.raises(DataError, match=r"a\.svm\.zip: \.zip cannot be written"):
        write_svmlight(tmp_path / "a.svm.zip", read_svmlight(plain))


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_line_end_and_a_byte_order_mark_are_read(
    tmp_path: Path, plain: Path, ends: bytes, mark: bytes
) -> None:
    path = tmp_path / "a.svm"
    path.write_bytes(mark + text().replace(b"\n", ends))
    assert np.array_equal(dense(read_svmlight(path)), dense(read_svmlight(plain)))
    shares = [read_part(path, rank, 3) for rank in range(3)]
    assert sum(len(share.labels) for share in shares) == 400


def test_a_blank_behind_the_colon_is_read_as_libsvm_reads_it(tmp_path: Path) -> None:
    path, joined = tmp_path / "protein.svm", tmp_path / "joined.svm"
    path.write_bytes(b"0   21:1.00   63: .50\n1   42: \t1.00\n1 qid:3 2: +.5e1 7:1\n")
    joined.write_bytes(b"0 21:1.00 63:.50\n1 42:1.00\n1 2:+.5e1 7:1\n")
    matrix, labels = load_svmlight_file(str(joined))
    rows = read_svmlight(path)
    assert np.array_equal(rows.to_scipy().toarray(), matrix.toarray())
    assert np.array_equal(rows.labels, 2 * labels - 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"1 12_3:1", r":2:3: index '12_3' is not an integer"),
        (b"1 2:1_0", r":2:5: value '1_0' is not a number"),
        (b"1 2:1_0.5", r":2:5: value '1_0\.5' is not a number"),
        (b"1_0 2:1", r":2:1: label '1_0' is not a number"),
        (b"1 3: 4:1", r":2:5: '3:' has no value"),
        (b"1 3: x", r":2:6: value 'x' is not a number"),
        (b"1 3:\t# 4", r":2:5: '3:' has no value"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "a.svm"
    path.write_bytes(b"-1 1:1\n" + line + b"\n")
    with pytest.raises(DataError, match=message):
        read_svmlight(path)


def shuffled(content: bytes) -> bytes:
    chance, lines = np.random.default_rng(3), []
    for line in content.splitlines():
        label, *pairs = line.split()
        lines.append(b" ".join([label, *chance.permutation(pairs).tolist()]))
    return b"\n".join(lines)


def test_indices_in_any_order_are_sorted_on_request(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "a.svm"
    # the last line is one that the kernel leaves to the grammar
    path.write_bytes(shuffled(text()) + b"\n1 +9:1 3:2\n")
    plain.write_bytes(text() + b"1 3:2 9:1\n")
    with pytest.raises(
        DataError, match=r"indices must ascend .*\[data\] sort_indices = true.*--sort-indices"
    ):
        read_svmlight(path)
    rows, expected = read_svmlight(path, sort_indices=True), read_svmlight(plain)
    assert np.array_equal(rows.indices, expected.indices)
    assert np.array_equal(rows.values, expected.values)
    found = convert(path, tmp_path / "store", Wishes(sort_indices=True)).rows()
    assert np.array_equal(dense(found), dense(convert(plain, tmp_path / "other").rows()))
    assert np.array_equal(dense(load(path, sort_indices=True).train), dense(expected))


@pytest.mark.parametrize("line", [b"1 3:1 5:1 3:2", b"1 +3:1 5:1 3:2", b"1 3:1 3:2"])
def test_an_index_twice_is_refused_sorted_or_not(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.svm"
    path.write_bytes(b"-1 1:1\n" + line + b"\n")
    with pytest.raises(DataError, match=r":2:\d+: index 3 occurs twice in the row"):
        read_svmlight(path, sort_indices=True)
