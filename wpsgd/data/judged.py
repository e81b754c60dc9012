"""Rows that a model is to judge: from text or a store, in the columns that the model knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.data.source import expanded
from wpsgd.data.store import is_store, open_store
from wpsgd.data.svmlight import ZeroBased, read_part


class Judged(NamedTuple):
    """Rows, all labelled +1, the labels that the file has, float64 (n,), and whether it counts from 0."""

    rows: Rows
    labels: NDArray[np.float64]
    zero_based: bool


def rows_to_judge(path: Path, features: int, zero_based: ZeroBased, *, unit_norm: bool = False) -> Judged:
    """All rows of a file or a store in the order of the source, in so many columns.

    Columns that the model does not know are left out: they had no entries when it was trained. Scaled to unit
    length are the rows as they are in the file, as those of the training were. Nothing here is as wide as
    the largest index. Errors as `read_svmlight`.
    """
    path = expanded(path)
    found = _stored(path) if is_store(path) else _text(path, zero_based)
    rows = found.rows.unit_norm() if unit_norm else found.rows
    return found._replace(rows=rows.narrowed(features))


def _text(path: Path, zero_based: ZeroBased) -> Judged:
    text = read_part(path, zero_based=zero_based)
    from_zero = zero_based is True or (zero_based == "auto" and text.lowest == 0)
    return Judged(text.rows(from_zero), text.labels, from_zero)


def _stored(path: Path) -> Judged:
    store = open_store(path)
    rows, order = store.rows(positives=np.empty(0)), np.argsort(store.order)
    original = replace(rows, indices=store.columns[rows.indices]).to_scipy()[order]
    original.sort_indices()
    labels = store.labels[order].astype(np.float64)
    return Judged(Rows.from_scipy(original, np.ones(len(order))), labels, store.meta.zero_based)
