"""The data of the bench: twins, generated once and kept, and real data where there are any."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from experiments.bench.bench import Bench
from experiments.bench.machine import ROOT
from wpsgd.data.arrange import by_popularity
from wpsgd.data.load import load
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import kdd2010_twin, real_sim_twin
from wpsgd.kernels.layout import gather_rows

ARRAYS = ("indptr", "indices", "values", "labels")
# scale of each twin at full size, and to try the bench
TWINS = {"real-sim-twin": (real_sim_twin, 1.0, 0.02), "kdd2010-twin/8": (kdd2010_twin, 0.125, 0.0005)}
REAL = {
    "reuters": ("reuters.bz2", None),
    "a9a": ("a9a.bz2", None),
    "news20": ("news20.bz2", tuple(float(label) for label in range(1, 11))),
}


@dataclass(frozen=True)
class Data:
    """A named problem; rows in both precisions. folder: of its arrays, where it is kept as such."""

    name: str
    rows: Rows
    folder: Path | None = None

    @cached_property
    def narrow(self) -> Rows:
        """The rows in float32."""
        return self.rows.astype(np.float32)

    @cached_property
    def matrix(self) -> Any:
        """float64 CSR with int32 indices, which scikit-learn takes without a copy."""
        return sparse.csr_matrix(self.rows.to_scipy())

    @cached_property
    def narrow_matrix(self) -> Any:
        """The same in float32."""
        return sparse.csr_matrix(self.narrow.to_scipy())

    @cached_property
    def stored(self) -> tuple[Rows, NDArray[np.int32]]:
        """The rows as our store holds them, columns by popularity, and the columns' numbers in `rows`."""
        rows = self.rows
        columns = by_popularity(np.bincount(rows.indices, minlength=rows.features))
        numbers = np.empty(rows.features, np.int32)
        numbers[columns] = np.arange(rows.features, dtype=np.int32)
        indices, values = np.empty_like(rows.indices), np.empty_like(rows.values)
        everything = np.arange(len(rows))
        gather_rows(
            everything, rows.indptr, rows.indices, rows.values, numbers, rows.indptr[:-1], indices, values
        )
        return replace(rows, indices=indices, values=values), columns

    @cached_property
    def fingerprint(self) -> str:
        """Tells data apart that have one name."""
        parts = (self.rows.indptr[:100_000], self.rows.indices[:1_000_000], self.rows.values[:1_000_000])
        return f"{self.name}-{zlib.crc32(b''.join(part.tobytes() for part in parts)):x}"


def twin(bench: Bench, name: str) -> Data:
    """The twin at the bench's scale, float64, from the cache or made for it."""
    make, full, small = TWINS[name]
    scale = full if bench.scale == "full" else small
    folder = bench.cache / f"{make.__name__}-{scale:g}"
    if not (folder / "complete").exists():
        bench.say(f"making {name} at scale {scale:g}")
        keep(folder, make(scale).rows)
    return Data(name, opened(folder), folder)


def keep(folder: Path, rows: Rows) -> None:
    """Writes arrays that `opened` reads, and last a mark that all are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(rows, name))
    np.save(folder / "features.npy", np.array(rows.features))
    (folder / "complete").touch()


def opened(folder: Path, dtype: str = "float64") -> Rows:
    """The rows that were kept in a folder."""
    arrays = {name: np.load(folder / f"{name}.npy") for name in ARRAYS}
    return Rows(**arrays, features=int(np.load(folder / "features.npy"))).astype(dtype)


def twins(bench: Bench) -> list[str]:
    """The twins to go through where each costs a start of processes: one is enough to try the bench."""
    return list(TWINS) if bench.scale == "full" else list(TWINS)[:1]


def real(bench: Bench, task: str) -> Iterator[Data]:
    """The real data that are there, rows of unit length; what is not there is skipped."""
    where = Path(os.environ.get("WPSGD_TEST_DATA", ROOT.parent / "shared" / "data"))
    for name, (file, positive) in REAL.items():
        if bench.scale == "small" and name != "reuters":
            continue
        if not (where / file).exists():
            bench.skip(task, name, f"{file} is neither in WPSGD_TEST_DATA nor in ../shared/data")
            continue
        yield Data(name, load(where / file, positive=positive, unit_norm=True).train)
