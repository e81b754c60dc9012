"""How large the data of a study are, told before they are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wpsgd.config import DataSettings, ModelSettings
from wpsgd.data import catalog
from wpsgd.data.cache import COMPRESSION
from wpsgd.data.load import Dataset
from wpsgd.data.rows import Rows
from wpsgd.data.source import expanded, files_of, is_pattern, reads_once
from wpsgd.data.store import is_store, open_store
from wpsgd.data.synthetic import SHAPES
from wpsgd.data.textfile import is_compressed, opened

SAMPLE = 1 << 20  # bytes of a text that are looked at
INDEX = re.compile(rb"(?<!\S)(\d{1,10}):")
COPIES = 2  # the rows as they are read, and what becomes of them


@dataclass(frozen=True, slots=True)
class Extent:
    """Counts of the rows, test rows included, and bytes of what holds them.

    loaded: private to each process that reads them; loading: at the peak of reading; mapped: of files that
    all processes of a host share
    """

    rows: int
    test: int
    features: int
    nonzeros: int
    loaded: int
    loading: int
    mapped: int

    @property
    def train(self) -> int:
        """Rows that are trained on."""
        return self.rows - self.test


def extent_of(dataset: Dataset) -> Extent:
    """Of data that were read."""
    parts = [dataset.train] if dataset.test is None else [dataset.train, dataset.test]
    loaded, mapped = bytes_of(parts), bytes_of(parts, mapped=True)
    if dataset.stored is not None:
        mapped += dataset.stored.columns.nbytes
    rows, nonzeros = sum(map(len, parts)), sum(part.nonzeros for part in parts)
    return Extent(rows, rows - len(dataset.train), dataset.train.features, nonzeros, loaded, loaded, mapped)


def foreseen(data: DataSettings, model: ModelSettings, store: Path | None = None) -> Extent | None:
    """Of data that are still to be read, roughly where it is text; None where there is nothing to go by.

    store: what the text was converted to
    """
    path = store or expanded(data.source)
    if data.source not in catalog.names() or store is not None:
        counts, mapped = _stored(path) if is_store(path) else (_of_text(path), 0)
    else:
        counts, mapped = _catalogued(data), 0
    if counts is None:
        return None
    rows, features, nonzeros = counts
    loaded = _loaded(path if mapped else None, data, model, rows, nonzeros)
    constant = model.intercept == "column"
    test = round(rows * data.test) if isinstance(data.test, float) else 0
    return Extent(
        rows, test, features + constant, nonzeros + constant * rows, loaded, COPIES * loaded, mapped
    )


def _stored(folder: Path) -> tuple[tuple[int, int, int], int]:
    store = open_store(folder)
    meta, arrays = store.meta, (store.indptr, store.indices, store.values, store.columns)
    return (meta.rows, meta.features, meta.nonzeros), sum(array.nbytes for array in arrays)


def _loaded(store: Path | None, data: DataSettings, model: ModelSettings, rows: int, nonzeros: int) -> int:
    """Bytes that a process holds beside the files it maps."""
    size = np.dtype(model.dtype).itemsize
    labels = size * (1 if model.class_weight is None and data.weights is None else 2)  # and sample weights
    whole = nonzeros * (4 + size) + rows * (8 + labels)
    if store is None or model.intercept == "column":
        return whole
    meta = open_store(store).meta
    scaled = data.unit_norm and not meta.unit_norm
    values = nonzeros * size if scaled or meta.dtype != model.dtype else 0
    return values + rows * (labels + 8 * scaled)


def _catalogued(data: DataSettings) -> tuple[int, int, int]:
    entry = catalog.entry(data.source)
    if data.source not in SHAPES:
        return entry.rows, entry.features, entry.nonzeros
    shape = SHAPES[data.source](data.scale)
    return shape.rows, shape.features, round(shape.rows * shape.nonzeros_per_row)


def _of_text(path: Path) -> tuple[int, int, int] | None:
    """From the first bytes, as if the rest were like them; columns that occur later only are not foreseen."""
    if not (is_pattern(path) or path.exists()) or any(map(reads_once, files_of(path))):
        return None
    files = [file for file in files_of(path) if file.stat().st_size] or list(files_of(path))
    with opened(files[0]) as stream:
        start = stream.read(SAMPLE)
    lines = start.splitlines()
    if len(start) == SAMPLE:  # the last line is cut off
        lines = lines[:-1] or lines
    size = sum(file.stat().st_size * (COMPRESSION if is_compressed(file) else 1) for file in files)
    larger = max(1.0, size / max(1, sum(map(len, lines)) + len(lines)))
    indices = [int(index) for line in lines for index in INDEX.findall(line)]
    features = max(indices, default=1)
    return round(larger * len(lines)), features, round(larger * len(indices))


def bytes_of(parts: Sequence[Rows], *, mapped: bool = False) -> int:
    """Memory that rows take: of this process, or, `mapped`, of files that all processes of a host share."""
    arrays = [
        a for rows in parts for a in (rows.indptr, rows.indices, rows.values, rows.labels, rows.weights)
    ]
    # parts of one whole share its arrays
    taken = {a.ctypes.data: a.nbytes for a in arrays if a is not None and is_mapped(a) == mapped}
    return sum(taken.values())


def is_mapped(array: object) -> bool:
    """Whether an array lies in a file."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None
