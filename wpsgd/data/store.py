"""The store: rows in a folder of arrays that are memory-mapped, and shared by all processes of a host.

    meta.json       format, source, counts, what was permuted, the arrays' types and shapes
    indptr.npy      int64 (rows + 1,)       indices.npy   int32 (non-zeros,)
    values.npy      float32 or float64      labels.npy    as the source has them, int8 or float64 (rows,)
    columns.npy     int32: the source's column, from 0, of each stored one, (features,); of very wide data
                    only of those that occur, behind which the others come, ascending
    rows.npy        int64 (rows,): the source's row, from 0, of each stored one

Rows lie in one random order, so that any stretch of them is a random sample, with its share of each class.
Columns are numbered by how often they occur, the most frequent first, so that the weights that matter lie
together.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wpsgd.data.labels import positive_classes, signs
from wpsgd.data.rows import FloatArray, Rows
from wpsgd.errors import DataError

FORMAT = 1
ROW_ORDER: Literal["random, classes spread evenly"] = "random, classes spread evenly"
META = "meta.json"
NAMES = ("indptr", "indices", "values", "labels", "columns", "rows")
Count = Annotated[int, Field(ge=0)]


class Source(BaseModel):
    """Where the rows come from. bytes: of all files, 0 where there were none, as of a pipe."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: Count
    sha256: str


class Array(BaseModel):
    """What one of the files holds."""

    model_config = ConfigDict(frozen=True)

    dtype: str
    length: Count


class Meta(BaseModel):
    """What there is to know of a store.

    classes: the labels that occur, ascending; bad_lines: of the source, left out
    zero_based: whether the source counts columns from 0; unit_norm: whether rows are scaled to unit L2 norm
    row_order, column_order: what was permuted; seed: of the rows' permutation
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    source: Source
    rows: Count
    features: Count
    nonzeros: Count
    classes: tuple[float, ...]
    bad_lines: Count
    zero_based: bool
    unit_norm: bool
    dtype: Annotated[str, Field(pattern="^float(32|64)$")]
    row_order: Literal["random permutation", "random, classes spread evenly"] = ROW_ORDER
    column_order: Literal["by popularity"] = "by popularity"
    seed: Count
    versions: dict[str, str]
    arrays: dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """A store that was opened: nothing of its rows is in memory until it is used.

    labels: as the source has them; columns, numbers: the source's column of each stored one, and the reverse
    order: the source's row of each stored one
    """

    path: Path
    meta: Meta
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: FloatArray
    labels: NDArray[Any]
    columns: NDArray[np.int32]
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return self.meta.rows

    def rows(
        self, start: int = 0, stop: int | None = None, *, positives: NDArray[np.float64] | None = None
    ) -> Rows:
        """Stored rows start to stop, read-only slices of the mapped arrays; only the labels are made anew.

        positives: labels that become +1; None: the larger of exactly two
        Raises DataError where there are not two and `positives` is not given.
        """
        if positives is None:
            positives = positive_classes(np.array(self.meta.classes), None, str(self.path))
        part = slice(*slice(start, stop).indices(len(self))[:2])
        labels = _signed(self.labels[part], positives, self.values.dtype)
        indptr = self.indptr[part.start : max(part.start, part.stop) + 1]
        return Rows(indptr, self.indices, self.values, labels, self.meta.features)

    def to_original(self, weights: FloatArray) -> FloatArray:
        """Weights of shape (features,) in the source's numbering of columns."""
        return to_original(weights, self.columns)

    def from_original(self, weights: FloatArray) -> FloatArray:
        """Weights of shape (features,) in the store's numbering of columns."""
        return np.concatenate([weights[self.columns], weights[_absent(self.columns, len(weights))]])

    def relabelled(self, rows: Rows) -> Rows:
        """Rows of a text, such as test rows, in the store's numbering; columns it does not have come last."""
        ascending = np.argsort(self.columns).astype(np.int32)
        known = self.columns[ascending]
        before = np.searchsorted(known, rows.indices)
        place = np.minimum(before, len(known) - 1)
        behind = len(known) + rows.indices - before  # the others, in ascending order
        beyond = np.where(rows.indices < self.meta.features, behind, rows.indices)
        numbers = np.where(known[place] == rows.indices, ascending[place], beyond).astype(np.int32)
        features = max(rows.features, self.meta.features)
        matrix = replace(rows, indices=numbers, features=features).to_scipy()
        matrix.sort_indices()
        return Rows.from_scipy(matrix, rows.labels, rows.weights)


def to_original(weights: FloatArray, columns: NDArray[np.int32]) -> FloatArray:
    """Weights as the source numbers its columns.

    columns: the source's column of each weight; those of more weights are all others, ascending
    """
    out = np.empty_like(weights)
    out[columns] = weights[: len(columns)]
    if len(weights) > len(columns):
        out[_absent(columns, len(weights))] = weights[len(columns) :]
    return out


def _absent(columns: NDArray[np.int32], features: int) -> NDArray[np.bool_]:
    """Which of so many columns are not among `columns`."""
    absent = np.ones(features, np.bool_)
    absent[columns] = False
    return absent


def is_store(path: Path) -> bool:
    """Whether a folder holds a store, be it one that cannot be opened."""
    return (path / META).is_file()


def open_store(path: str | os.PathLike[str]) -> Store:
    """Maps a store. Raises DataError where it is none, is incomplete, or is of another format."""
    folder = Path(path)
    meta = _read_meta(folder)
    arrays = {name: _mapped(folder / f"{name}.npy", meta.arrays[name]) for name in NAMES}
    order = arrays.pop("rows")
    return Store(folder, meta, order=order, **arrays)


def _read_meta(folder: Path) -> Meta:
    file = folder / META
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = content["format"]
    except FileNotFoundError:
        raise DataError(f"{folder}: no store: there is no {META} in it") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file}: not the description of a store ({error})") from error
    if found != FORMAT:
        raise DataError(f"{folder}: store format {found}; this version reads format {FORMAT}: convert again")
    try:
        meta = Meta.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    _check_lengths(meta, file)
    return meta


def _check_lengths(meta: Meta, file: Path) -> None:
    lengths = {"indptr": meta.rows + 1, "labels": meta.rows, "rows": meta.rows}
    for name in NAMES:
        if name not in meta.arrays:
            raise DataError(f"{file}: arrays: {name} is missing")
        length = meta.arrays[name].length
        fits = length <= meta.features if name == "columns" else length == lengths.get(name, meta.nonzeros)
        if not fits:
            raise DataError(f"{file}: arrays: the length of {name} does not fit the counts")


def _mapped(file: Path, expected: Array) -> NDArray[Any]:
    try:
        # a mapping of no bytes is impossible
        mapped = np.load(file, mmap_mode="r" if expected.length else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: incomplete or unreadable ({error}); convert again") from error
    if (str(mapped.dtype), mapped.shape) != (expected.dtype, (expected.length,)):
        raise DataError(f"{file}: holds something else than {META} says; convert again")
    return np.asarray(mapped)


def _signed(labels: NDArray[Any], positives: NDArray[np.float64], dtype: np.dtype[Any]) -> FloatArray:
    if labels.dtype != np.int8:
        return signs(labels, positives).astype(dtype)
    # comparing bytes is much faster than searching for each label among the positive ones
    out = np.full(len(labels), -1.0, dtype)
    for label in positives[(positives >= -128) & (positives <= 127) & (positives % 1 == 0)]:
        np.copyto(out, 1.0, where=labels == np.int8(label))
    return out
