"""Run by ranks: every case of conformance.py and of faults.py; rank 0 writes the answers of all as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import support
from conformance import CASES, judging, regrouping
from faults import FAULTS
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI

from wpsgd.errors import WPSGDError
from wpsgd.requests import Program
from wpsgd.runtimes import mpi as runtime_module
from wpsgd.runtimes.mpi import MPI

COMM = mpi.COMM_WORLD
SHORT_BLOCK = 7  # elements; the vectors of the cases are longer, and no multiple of it


def run(program: Program) -> Any:
    """What this rank answers, on a runtime of its own: a failed case leaves nothing behind for the next."""
    runtime = MPI()
    return runtime.run(support.job(program, runtime.ranks)).states[runtime.rank].own.get("answer")


def outcome(phase: Callable[[], Any]) -> Any:
    try:
        return phase()
    except (WPSGDError, AssertionError) as error:
        return [type(error).__name__, str(error)]


def everybody(program: Program) -> list[Any]:
    return COMM.allgather(outcome(lambda: run(program)))


def main() -> None:
    answers = {name: everybody(case.program) for name, case in CASES.items()}
    runtime_module.BLOCK = SHORT_BLOCK
    blocks = {
        name: everybody(case.program)
        for name, case in CASES.items()
        if name.startswith(("allreduce", "broadcast"))
    }
    faults = {name: everybody(fault.program) for name, fault in FAULTS.items() if fault.under_mpi}
    faults["regrouping"] = everybody(regrouping)
    runtime = MPI()
    events = runtime.run(support.job(judging, runtime.ranks)).events
    if COMM.Get_rank() == 0:
        totals = [event for event in events if event["kind"] == "totals"]
        results = {"answers": answers, "blocks": blocks, "faults": faults, "judging": totals}
        Path(sys.argv[1]).write_text(json.dumps(results))
    COMM.Barrier()


main()
