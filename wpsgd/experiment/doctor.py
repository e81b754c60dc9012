"""The command doctor: what of this place will work, line by line, with the fix where it will not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from wpsgd.config import Settings
from wpsgd.errors import LaunchError, WPSGDError
from wpsgd.experiment.extent import foreseen
from wpsgd.experiment.memory import check_fits, predict
from wpsgd.experiment.resident import limit_bytes
from wpsgd.kernels import cache
from wpsgd.launcher import launched, launched_rank, launched_ranks
from wpsgd.processors import narrowed_by, present_processors, processors


@dataclass(frozen=True, slots=True)
class Line:
    """One finding. fix: what to do about it, empty where nothing is to be done."""

    level: Literal["ok", "warning", "error"]
    what: str
    fix: str = ""


def examine(settings: Settings | None = None, ranks: int | None = None) -> list[Line]:
    """All findings, in the order in which they matter; settings, ranks: of a study that is to be run here."""
    lines = [*_mpi(), _launcher(), _ranks(), _processors(), _kernel_cache(), _memory()]
    return lines if settings is None else [*lines, _study(settings, ranks)]


def _mpi() -> list[Line]:
    # in a process of its own: an MPI library that cannot start ends the process it is in
    code = "from wpsgd.runtimes.mpi import library; print(library())"
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PMI", "OMPI_", "SLURM_"))
    }
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    if found.returncode == 0:
        return [Line("ok", f"MPI library: {' '.join(found.stdout.replace('Version:', '').split())}")]
    reason = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
    fix = "pip install 'wpsgd[mpich]', or load the site's MPI module and set MPI4PY_LIBMPI"
    return [Line("error", f"MPI library: none that loads ({reason})", fix)]


def _launcher() -> Line:
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = beside if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        return Line(
            "warning", "launcher: no mpiexec", "under Slurm use srun; else install the extra wpsgd[mpich]"
        )
    return Line("ok", f"launcher: {launcher}")


def _ranks() -> Line:
    if not launched():
        tasks = os.environ.get("SLURM_NTASKS")
        if tasks and tasks != "1":
            fix = "srun --mpi=pmi2 python -m wpsgd.experiment ..."
            return Line("warning", f"ranks: 1 here, but SLURM_NTASKS is {tasks}", fix)
        return Line("ok", "ranks: not under a launcher; run uses local threads")
    try:
        from wpsgd.runtimes.mpi import MPI

        runtime = MPI()
    except LaunchError as error:
        return Line("error", f"ranks: {error}")
    tasks = os.environ.get("SLURM_NTASKS", "")
    if tasks.isdigit() and int(tasks) != runtime.ranks:
        return Line("warning", f"ranks: {runtime.ranks}, but SLURM_NTASKS is {tasks}", f"srun -n {tasks}")
    return Line("ok", f"ranks: {runtime.ranks}, as many as were started")


def _processors() -> Line:
    if reason := narrowed_by():
        return Line("ok", f"processors: {processors()} of {present_processors()} by {reason}")
    return Line("ok", f"processors: {processors()}")


def _kernel_cache() -> Line:
    refused = []
    for place in cache.places():
        try:
            folder = cache.opened(place)
        except OSError as error:
            refused.append(f"{place} {cache.words(error)}")
            continue
        try:
            cache.check_room(folder)
        except OSError as error:
            what = f"{folder} {cache.words(error)}; what does not fit in, every process compiles for itself"
            return Line("warning", f"kernel cache: {what}", cache.FIX)
        if os.environ.get("NUMBA_CACHE_DIR") and refused:
            return Line("warning", f"kernel cache: {refused[0]}; {folder} is used", cache.FIX)
        return Line("ok", f"kernel cache: {folder}")
    what = f"{', '.join(refused)}; every process compiles for itself"
    return Line("warning", f"kernel cache: {what}", cache.FIX)


def _memory() -> Line:
    return Line(
        "ok", f"memory: {limit_bytes() / 2**30:.1f} GiB allowed; doctor STUDY says what a study needs"
    )


def _study(settings: Settings, ranks: int | None) -> Line:
    data = settings.data
    try:
        extent = foreseen(data, settings.model)
        if extent is None:
            return Line("warning", f"study: {data.source}: how large it is cannot be told before it is read")
        if ranks is None and not launched():
            threads = settings.machine.known_ranks or processors()
            prediction = predict(settings, extent, threads, None)
        else:
            prediction = predict(settings, extent, *((ranks, ranks) if ranks else launched_ranks()))
        note = check_fits(data.source, prediction, mapped=extent.mapped > 0, features=extent.features)
    except WPSGDError as error:
        return Line("error", f"study: {error}")
    if note:
        return Line("warning", f"study: {note}")
    return Line("ok", f"study: {data.source}: {prediction.told()}")


def report(settings: Settings | None, ranks: int | None, *, as_json: bool) -> None:
    """Prints the findings, on the first rank. Raises NotWell where something must be mended before a run."""
    # a rank other than the first is there to be counted
    lines = examine(settings, ranks) if launched_rank() == 0 else [_ranks()]
    if launched_rank() == 0:
        if as_json:
            print(json.dumps({"findings": [asdict(line) for line in lines]}))
        else:
            for line in lines:
                print(f"{line.level:8} {line.what}" + (f"\n         fix: {line.fix}" if line.fix else ""))
    errors = [line for line in lines if line.level == "error"]
    if errors:
        raise NotWell(f"{len(errors)} of {len(lines)} findings must be mended before a run")


class NotWell(WPSGDError):
    """The doctor found an error."""

    agreed = True  # the first rank speaks for all
