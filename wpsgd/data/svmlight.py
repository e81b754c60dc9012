"""Svmlight (LIBSVM) text: a label per line, then index:value pairs.

Comments (#), blank lines, CRLF and a `qid:` after the label are understood; the latter is ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wpsgd.data.labels import check_known, positive_classes, signs
from wpsgd.data.rows import FloatArray, Rows
from wpsgd.data.source import expanded, files_of, reads_once, refuse_pipe
from wpsgd.data.svmlight_blocks import Span, Terms, read_blocks, stretch
from wpsgd.data.svmlight_fault import LARGEST_INDEX
from wpsgd.data.textfile import is_compressed, replacing
from wpsgd.errors import ConfigError, DataError

ZeroBased = bool | Literal["auto"]
ROWS = 4096  # that are written at a time


@dataclass(frozen=True)
class _Table:
    """A file as it is written: indices from whatever it counts from, labels from whatever classes it has."""

    path: Path
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: FloatArray
    labels: NDArray[np.float64]


class WithClasses(NamedTuple):
    """Rows of files that were read together.

    zero_based: whether their indices count from 0
    classes, positives: float64, the labels that occur, ascending, and those of them that became +1
    """

    rows: tuple[Rows, ...]
    zero_based: bool
    classes: NDArray[np.float64]
    positives: NDArray[np.float64]


def check_zero_based(zero_based: ZeroBased) -> None:
    """Raises ConfigError where it is not what it may be."""
    if zero_based not in (True, False, "auto"):
        raise ConfigError(f'zero_based = {zero_based!r}: allowed are true, false, "auto"')


def read_svmlight(
    path: str | os.PathLike[str],
    *,
    features: int | None = None,
    zero_based: ZeroBased = "auto",
    positive: Sequence[float] | None = None,
    dtype: DTypeLike = np.float64,
    sort_indices: bool = False,
) -> Rows:
    """The rows of a svmlight file, plain or compressed (bz2, gz, xz, and zst where Python can read it).

    path: a file, a pipe, "-" for standard input, or a folder or a pattern of part files, see source.py
    features: number of columns, at least those of the file, which are the default
    zero_based: whether indices count from 0; "auto": they do if an index 0 occurs
    positive: labels that become +1, all others becoming -1; without it the larger of exactly two is +1
    dtype: of values and labels, float32 or float64
    sort_indices: whether indices that do not ascend within a row are sorted rather than refused
    Raises DataError, with line and column where there are any, for a file that cannot be trained on.
    """
    return read_together(
        [path],
        features=features,
        zero_based=zero_based,
        positive=positive,
        dtype=dtype,
        sort_indices=sort_indices,
    ).rows[0]


def read_together(
    paths: Sequence[str | os.PathLike[str]],
    *,
    features: int | None = None,
    zero_based: ZeroBased = "auto",
    positive: Sequence[float] | None = None,
    dtype: DTypeLike = np.float64,
    sort_indices: bool = False,
) -> WithClasses:
    """Files of one data set, such as train and test, with columns, base and classes in common.

    Arguments and errors are those of `read_svmlight`; the classes are those of all files together.
    """
    check_zero_based(zero_based)
    files = [expanded(path) for path in paths]
    if twice := next((file for file in files if files.count(file) > 1 and reads_once(file)), None):
        raise ConfigError(f"{twice}: is a pipe, which can be read once, and is named twice: name a file")
    terms = Terms(zero_based is False, dtype, any_order=sort_indices)
    tables = [_read(file, terms) for file in files]
    has_zero = any(table.indices.min(initial=1) == 0 for table in tables)
    base = 0 if zero_based is True or (zero_based == "auto" and has_zero) else 1
    columns = _columns(tables, base, features)
    where = ", ".join(str(table.path) for table in tables)
    labels = np.concatenate([table.labels for table in tables])
    positives = positive_classes(labels, positive, where)
    for table in tables[1:] if positive is not None else ():  # without it they would be too many classes
        check_known(table.labels, np.unique(tables[0].labels), str(table.path))
    rows = tuple(_rows(table, base, columns, positives) for table in tables)
    return WithClasses(rows, base == 0, np.unique(labels), positives)


def read_unlabelled(
    path: str | os.PathLike[str], *, zero_based: ZeroBased = "auto", sort_indices: bool = False
) -> Rows:
    """The rows of a svmlight file whose labels do not matter: all become +1. Errors as `read_svmlight`."""
    table = _read(expanded(path), Terms(zero_based is False, any_order=sort_indices))
    base = 0 if zero_based is True or (zero_based == "auto" and table.indices.min(initial=1) == 0) else 1
    return _rows(table, base, _columns([table], base, None), np.unique(table.labels))


def read_classes(
    path: str | os.PathLike[str],
    *,
    zero_based: bool,
    dtype: DTypeLike = np.float64,
    sort_indices: bool = False,
) -> tuple[Rows, NDArray[np.float64]]:
    """Rows, all labelled +1, with the labels as the file has them. Errors as `read_svmlight`."""
    table = _read(expanded(path), Terms(not zero_based, dtype, any_order=sort_indices))
    base = int(not zero_based)
    return _rows(table, base, _columns([table], base, None), np.unique(table.labels)), table.labels


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a file, of which it is not known yet whether it counts from 0.

    labels: as the file has them, float64 (n,); lowest, highest: of the indices, 1 and 0 where there are none
    """

    table: _Table

    @property
    def labels(self) -> NDArray[np.float64]:
        return self.table.labels

    @property
    def lowest(self) -> int:
        return int(self.table.indices.min(initial=1))

    @property
    def highest(self) -> int:
        return int(self.table.indices.max(initial=0))

    def rows(self, zero_based: bool) -> Rows:
        """The rows, all labelled +1."""
        base = int(not zero_based)
        return _rows(self.table, base, max(0, self.highest + 1 - base), np.unique(self.labels))


def read_part(
    path: str | os.PathLike[str],
    part: int = 0,
    parts: int = 1,
    *,
    zero_based: ZeroBased = "auto",
    sort_indices: bool = False,
) -> Part:
    """One of `parts` stretches of a file, one behind the other; one of several may be without rows.

    Of plain text no more is read; compressed text is read whole and the rest forgotten. A pipe has one part.
    Errors as `read_svmlight`, of the stretch.
    """
    file, terms = expanded(path), Terms(zero_based is False, any_order=sort_indices)
    if parts == 1:
        return Part(_read(file, terms))
    refuse_pipe(file, f"{parts} ranks are to share it")
    if not any(map(is_compressed, files_of(file))):
        return Part(_read(file, terms, stretch(file, part, parts)))
    table = _read(file, terms)
    first, last = (len(table.labels) * number // parts for number in (part, part + 1))
    entries = slice(table.indptr[first], table.indptr[last])
    indptr = table.indptr[first : last + 1] - table.indptr[first]
    kept = (table.indices[entries].copy(), table.values[entries].copy(), table.labels[first:last])
    return Part(_Table(file, indptr, *kept))


def write_svmlight(path: str | os.PathLike[str], rows: Rows, *, force: bool = False) -> None:
    """Writes rows as svmlight text, indices from 1, compressed by suffix; the file appears whole or never.

    Read again, with `features` where the last columns are empty, the rows are equal bit for bit.
    Raises DataError where the file exists and `force` is not set, where it cannot be written, or where the
    rows have sample weights, for which the format has no place.
    """
    if rows.weights is not None:
        raise DataError(f"{path}: svmlight text has no place for sample weights")
    write_blocks(path, (rows[at : at + ROWS] for at in range(0, len(rows), ROWS)), force=force)


def write_blocks(path: str | os.PathLike[str], blocks: Iterable[Rows], *, force: bool = False) -> None:
    """The same for rows, none with sample weights, that come in blocks and need not fit into memory."""
    with replacing(Path(path), force=force) as stream:
        for block in blocks:
            stream.write(_text(block))


def _text(rows: Rows) -> bytes:
    first = int(rows.indptr[0])
    entries, ends = slice(first, int(rows.indptr[-1])), (rows.indptr - first).tolist()
    # the shortest text of a float32 could round differently by way of a float64: write the latter's
    values = rows.values[entries].astype(np.float64).tolist()
    # values come again more often than not, and to find their shortest text is what takes the time
    texts = {value: repr(value) for value in dict.fromkeys(values)}
    columns = (rows.indices[entries] + np.int64(1)).tolist()
    # 0.0 and -0.0 are one key, but two texts
    pairs = [
        f" {index}:{texts[value] if value else repr(value)}"
        for index, value in zip(columns, values, strict=True)
    ]
    lines = zip(rows.labels.tolist(), pairwise(ends), strict=True)
    return "".join([f"{int(label):+d}{''.join(pairs[at:end])}\n" for label, (at, end) in lines]).encode(
        "ascii"
    )


def _read(path: Path, terms: Terms, span: Span | None = None) -> _Table:
    """The whole file or a stretch of it, its blocks put together."""
    blocks = list(read_blocks(path, terms, span=span))
    lengths = [np.zeros(1, np.int64), *(np.diff(block.indptr) for block in blocks)]
    table = _Table(
        path,
        np.cumsum(np.concatenate(lengths)),
        _joined([block.indices for block in blocks], np.int32),
        _joined([block.values for block in blocks], terms.dtype),
        _joined([block.labels for block in blocks], np.float64),
    )
    if span is None and not len(table.labels):
        raise DataError(f"{path}: no rows in it")
    return table


def _joined(parts: Sequence[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts])


def _columns(tables: Sequence[_Table], base: int, features: int | None) -> int:
    """The number of columns of all tables; a file without entries has none."""
    largest = max(tables, key=lambda table: table.indices.max(initial=-1))
    found = int(largest.indices.max(initial=base - 1)) - base + 1
    columns = found if features is None else features
    if columns < 1:
        raise DataError(f"{largest.path}: no index:value pair in it")
    if columns < found:
        raise DataError(f"{largest.path}: has {found} features, more than the {features} that were given")
    if columns > LARGEST_INDEX:
        raise DataError(f"{largest.path}: {columns} features: at most {LARGEST_INDEX} (int32) are possible")
    return columns


def _rows(table: _Table, base: int, features: int, positives: NDArray[np.float64]) -> Rows:
    return Rows(
        indptr=table.indptr,
        indices=table.indices - np.int32(base),
        values=table.values,
        labels=signs(table.labels, positives).astype(table.values.dtype),
        features=features,
    )
