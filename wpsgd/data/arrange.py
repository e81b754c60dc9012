"""The new order of rows and columns, and the arrays of a store written in it.

Entries come from files in the order of the source, WINDOW of them at a time. Each window reads the rows it
needs in ascending order, so that data larger than memory are swept, not hopped through.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.data.split import spread_evenly
from wpsgd.data.svmlight import ZeroBased
from wpsgd.data.svmlight_blocks import Block
from wpsgd.data.svmlight_fault import LARGEST_INDEX
from wpsgd.errors import DataError
from wpsgd.kernels.layout import count_columns, gather_rows

WINDOW = 1 << 24  # non-zeros that are gathered at a time: 128 or 192 MiB
MOST_CLASSES = 1 << 16
WIDE = 1 << 26  # columns up to which a table of them all is kept, 512 MiB of counts at most


@dataclass(slots=True, eq=False)
class Draft:
    """The rows in their own order: entries on disk, the rest here.

    counts: of columns as they are written, below WIDE; far: those from there on that occur, ascending, and
    their counts. So no table is as wide as the largest index, which may be a hash or a slip.
    """

    folder: Path
    dtype: np.dtype[Any]
    lengths: list[NDArray[np.int32]] = field(default_factory=list)
    labels: list[NDArray[np.float64]] = field(default_factory=list)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1 << 10, np.int64))
    far: tuple[NDArray[np.int32], NDArray[np.int64]] = (np.empty(0, np.int32), np.empty(0, np.int64))
    used: int = 0
    bad_lines: int = 0

    @property
    def indices_file(self) -> Path:
        return self.folder / "source-indices"

    @property
    def values_file(self) -> Path:
        return self.folder / "source-values"

    def add(self, block: Block) -> None:
        """Keeps what stays in memory."""
        self.lengths.append(np.diff(block.indptr).astype(np.int32))
        self.labels.append(block.labels)
        self.bad_lines += block.bad_lines
        indices, highest = block.indices, int(block.indices.max(initial=-1))
        self.used = max(self.used, highest + 1)
        if highest >= WIDE:
            self._count_far(indices[indices >= WIDE])
            indices = indices[indices < WIDE]
        if (near := min(self.used, WIDE)) > len(self.counts):
            # zeros that are never written to take no memory
            wider = np.zeros(min(max(near, 2 * len(self.counts)), WIDE), np.int64)
            wider[: len(self.counts)] = self.counts
            self.counts = wider
        count_columns(indices, self.counts)

    def _count_far(self, indices: NDArray[np.int32]) -> None:
        new = np.unique(indices, return_counts=True)
        columns, places = np.unique(np.concatenate([self.far[0], new[0]]), return_inverse=True)
        counts = np.zeros(len(columns), np.int64)
        np.add.at(counts, places, np.concatenate([self.far[1], new[1]]))
        self.far = columns, counts

    def popular(self, base: int) -> NDArray[np.int32]:
        """Columns counted from `base`, the most frequent first; without those that never occur where any is
        WIDE or beyond."""
        if not len(self.far[0]):
            return by_popularity(self.counts[base : self.used])
        near = np.flatnonzero(self.counts[base:]).astype(np.int32)
        columns = np.concatenate([near, self.far[0] - np.int32(base)])
        counts = np.concatenate([self.counts[base:][near], self.far[1]])
        return columns[np.argsort(-counts, kind="stable")]

    def close_up(self, indices: NDArray[np.int32]) -> NDArray[np.int32]:
        """Indices as they are written, those from WIDE on numbered by their places in `far`."""
        if not len(self.far[0]):
            return indices
        beyond = indices >= WIDE
        closer = indices.copy()
        closer[beyond] = WIDE + np.searchsorted(self.far[0], indices[beyond])
        return closer


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Where everything goes. base: what columns are counted from; the rest as in the store's files."""

    base: int
    features: int
    order: NDArray[np.int64]
    columns: NDArray[np.int32]
    source_indptr: NDArray[np.int64]
    indptr: NDArray[np.int64]
    labels: NDArray[Any]
    classes: NDArray[np.float64]


def planned(draft: Draft, path: Path, zero_based: ZeroBased, seed: int) -> Plan:
    """Rows in a random order with classes spread evenly, columns by popularity.

    Raises DataError where there are none, or too many.
    """
    lengths = np.concatenate([np.empty(0, np.int32), *draft.lengths])
    labels = np.concatenate([np.empty(0), *draft.labels])
    if not len(labels):
        raise DataError(f"{path}: no rows in it")
    base = int(not (zero_based is True or (zero_based == "auto" and draft.counts[0] > 0)))
    features = draft.used - base
    if features < 1:
        raise DataError(f"{path}: no index:value pair in it")
    if features > LARGEST_INDEX:
        raise DataError(f"{path}: {features} features: at most {LARGEST_INDEX} (int32) are possible")
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"{path}: {len(classes)} different labels; at most {MOST_CLASSES} classes are possible"
        )
    order = spread_evenly(numbers.astype(np.uint16), seed)
    return Plan(
        base,
        features,
        order,
        draft.popular(base),
        _ends(lengths),
        _ends(lengths[order]),
        _compact(labels, classes)[order],
        classes,
    )


def by_popularity(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """The columns that occur, most frequent first, then the others, each as they were where they tie."""
    occurring = np.flatnonzero(counts).astype(np.int32)
    order = np.argsort(-counts[occurring], kind="stable")
    return np.concatenate([occurring[order], np.flatnonzero(counts == 0).astype(np.int32)])


def _ends(lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _compact(labels: NDArray[np.float64], classes: NDArray[np.float64]) -> NDArray[Any]:
    """As int8 where nothing is lost by it."""
    fits = classes[0] >= -128 and classes[-1] <= 127 and not (classes % 1).any()
    return labels.astype(np.int8) if fits else labels


def write_arrays(part: Path, draft: Draft, plan: Plan, jobs: int) -> None:
    """Writes all arrays of the store, the same whatever `jobs` is, and removes the files of the draft."""
    small = {"indptr": plan.indptr, "labels": plan.labels, "columns": plan.columns, "rows": plan.order}
    for name, array in small.items():
        np.save(part / f"{name}.npy", array)
    with (
        ThreadPoolExecutor(jobs) as pool,
        (part / "indices.npy").open("wb") as indices,
        (part / "values.npy").open("wb") as values,
    ):
        _write_header(indices, np.dtype(np.int32), int(plan.indptr[-1]))
        _write_header(values, draft.dtype, int(plan.indptr[-1]))
        for window in _windows(draft, plan, pool, jobs):
            window[0].tofile(indices)
            window[1].tofile(values)
    draft.indices_file.unlink()
    draft.values_file.unlink()


def _write_header(stream: IO[bytes], dtype: np.dtype[Any], length: int) -> None:
    header = {"descr": dtype.str, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(stream, header)


def _windows(
    draft: Draft, plan: Plan, pool: ThreadPoolExecutor, jobs: int
) -> Iterator[tuple[NDArray[np.int32], FloatArray]]:
    """Indices and values in the new order, WINDOW of them at a time."""
    _close_up(draft)
    indices = np.memmap(draft.indices_file, np.int32, "r")
    values = np.memmap(draft.values_file, draft.dtype, "r")
    numbers = np.empty(min(draft.used, WIDE) + len(draft.far[0]), np.int32)
    columns = draft.close_up((plan.columns + np.int64(plan.base)).astype(np.int32))
    numbers[columns] = np.arange(len(plan.columns), dtype=np.int32)
    for first, last in _row_windows(plan.indptr):
        start, stop = plan.indptr[first], plan.indptr[last]
        out = np.empty(stop - start, np.int32), np.empty(stop - start, draft.dtype)
        starts = plan.indptr[first:last] - start
        ascending = np.argsort(plan.order[first:last])

        def gather(part: NDArray[np.int64], first: int = first, starts: Any = starts, out: Any = out) -> None:
            rows = plan.order[first + part]
            gather_rows(rows, plan.source_indptr, indices, values, numbers, starts[part], *out)

        list(pool.map(gather, np.array_split(ascending, jobs)))
        yield out


def _close_up(draft: Draft) -> None:
    """Numbers the far columns of the draft's file by their places, so that a table of all will do."""
    if len(draft.far[0]):
        indices = np.memmap(draft.indices_file, np.int32, "r+")
        for at in range(0, len(indices), WINDOW):
            indices[at : at + WINDOW] = draft.close_up(indices[at : at + WINDOW])
        indices.flush()


def _row_windows(indptr: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """(first, last) rows of windows that hold WINDOW non-zeros, or one longer row."""
    first, rows = 0, len(indptr) - 1
    while first < rows:
        last = max(first + 1, int(np.searchsorted(indptr, indptr[first] + WINDOW, "right")) - 1)
        yield first, last
        first = last
