"""Starting a module on two MPI ranks, each on a core of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from experiments.bench.machine import ROOT

SECONDS = 900


def launcher() -> tuple[Path, str]:
    """The launcher of this environment, and why there is none."""
    path = Path(sys.executable).parent / "mpiexec"
    return path, "" if path.exists() else "no mpiexec in this environment"


def start(module: str, arguments: list[str]) -> None:
    """Runs a module on two ranks. Raises RuntimeError where it fails, with its last line, or is too slow."""
    # MPICH's launcher can keep each rank on a core of its own
    folder = str(Path(sys.executable).parent)
    bound = ["-bind-to", "core"] if shutil.which("mpiexec.hydra", path=folder) else []
    command = [str(launcher()[0]), *bound, "-n", "2", sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"two ranks were not through after {SECONDS} seconds") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise RuntimeError(f"two ranks failed with exit code {done.returncode}: {lines[-1]}")
