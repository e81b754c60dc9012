"""Memory that training takes beyond the rows: the peak of a process of its own for each competitor."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from experiments.bench.bench import Bench
from experiments.bench.data import Data, opened, twin, twins
from experiments.bench.peers import COMPETITORS, missing, sgd_classifier
from experiments.bench.results import Measurement
from experiments.bench.tasks.epochs import ALPHA, trained

TASK = "memory"
STEPS = 4  # of a competitor's knob: enough to have all its memory
STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def run(bench: Bench) -> None:
    """Each twin, each competitor that is here."""
    if not (STATUS.exists() and REFS.exists()):
        bench.skip(TASK, "peaks", "this system does not tell the peak of a stretch of time")
        return
    names = [name for name, (module, _) in COMPETITORS.items() if missing(module) is None]
    for data in (twin(bench, name) for name in twins(bench)):
        assert data.folder is not None
        bench.say(f"{TASK}: {data.name}")
        for name in (*names, "ours, SGD", "SGDClassifier"):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                peak, rows = pool.submit(peak_of, name, data.folder).result()
            bench.measurements.append(
                Measurement(
                    task=TASK,
                    data=data.name,
                    case=f"beyond the rows' {rows:.0f} MB",
                    competitor=name,
                    value=peak,
                    unit="MB",
                )
            )


def peak_of(name: str, folder: Path) -> tuple[float, float]:
    """(MB of the peak beyond what was there before, MB of the rows). Training is done once on few rows."""
    whole = opened(folder)
    _train(name, Data("few", whole[:100]))
    data = Data("rows", whole)
    if name.endswith("float32"):
        data.narrow.labels.sum()
    else:
        data.matrix, data.narrow_matrix  # noqa: B018 - made before the measurement
    before = _kilobytes("VmRSS")
    REFS.write_text("5")  # the peak is forgotten
    _train(name, data)
    size = whole.indptr.nbytes + whole.indices.nbytes + whole.values.nbytes + whole.labels.nbytes
    return (_kilobytes("VmHWM") - before) / 1e3, size / 1e6


def _train(name: str, data: Data) -> None:
    if name == "SGDClassifier":
        sgd_classifier(data, ALPHA, 1, dtype="float64", shuffle=True)
    elif name == "ours, SGD":
        trained(data.rows, True, 1)
    else:
        COMPETITORS[name][1](data, ALPHA)[0].fit(STEPS)


def _kilobytes(field: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
