"""From svmlight text to arrays on one core, against load_svmlight_file; and opening what was converted."""

from __future__ import annotations

import importlib.util
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_svmlight_file

from experiments.bench.bench import Bench
from experiments.bench.data import twin
from experiments.bench.goals import LOADING, OPENING
from experiments.bench.timing import pinned
from wpsgd.data.rows import Rows
from wpsgd.data.svmlight import read_svmlight

TASK = "loading"
DIGITS = {"6 digits": ".6g", "17 digits": ".17g"}


def run(bench: Bench) -> None:
    """The real-sim twin as text, with as many digits as people write and with all of them."""
    rows = twin(bench, "real-sim-twin").rows
    with tempfile.TemporaryDirectory(prefix="wpsgd-bench-") as folder, pinned():
        for shown, form in DIGITS.items():
            path = Path(folder) / f"{form[1:]}.svm"
            path.write_text(text_of(rows, form), encoding="ascii")
            _read(bench, path, shown, rows.features)
        _opened(bench, path, Path(folder) / "store")


def text_of(rows: Rows, form: str) -> str:
    """Svmlight text, indices from 1, values in a format of Python's."""
    indices, values = (rows.indices + 1).tolist(), rows.values.tolist()
    lines = []
    for row, label in enumerate(rows.labels.tolist()):
        entries = range(rows.indptr[row], rows.indptr[row + 1])
        lines.append(" ".join([f"{label:+.0f}", *(f"{indices[j]}:{values[j]:{form}}" for j in entries)]))
    return "\n".join(lines) + "\n"


def _read(bench: Bench, path: Path, shown: str, features: int) -> None:
    if importlib.util.find_spec("wpsgd.kernels.parse") is None:
        bench.skip(TASK, f"text to arrays, {shown}", "this version reads text with scikit-learn's reader")
        return
    cases: dict[str, Any] = {
        "ours": partial(read_svmlight, path, features=features, zero_based=False),
        "load_svmlight_file": partial(load_svmlight_file, str(path), n_features=features, zero_based=False),
    }
    mine, (matrix, _) = cases["ours"](), cases["load_svmlight_file"]()
    if not (np.array_equal(mine.values, matrix.data) and np.array_equal(mine.indices, matrix.indices)):
        raise ArithmeticError(f"{shown}: the two readers differ")
    size = f"{path.stat().st_size / 1e6:.0f} MB"
    about = {name: {"setting": size} for name in cases}
    times = bench.time(TASK, "real-sim-twin", f"text to arrays, {shown}", cases, warm=False, about=about)
    goal = LOADING if shown == "6 digits" else None
    name = f"text to arrays against load_svmlight_file, {shown}"
    bench.faster(TASK, name, (times["load_svmlight_file"], times["ours"]), goal)


def _opened(bench: Bench, path: Path, folder: Path) -> None:
    if importlib.util.find_spec("wpsgd.data.store") is None:
        bench.skip(TASK, "opening a converted data set", "this version has no store")
        return
    store: Any = importlib.import_module("wpsgd.data.store")
    importlib.import_module("wpsgd.data.convert").convert(path, folder)
    cases = {"ours": lambda: store.open_store(folder).rows()}
    times = bench.time(TASK, "real-sim-twin", "opening", cases)["ours"]
    name = "opening a converted data set"
    bench.figure(TASK, name, times.wall, cpu=times.cpu, unit="s", goal=OPENING)
