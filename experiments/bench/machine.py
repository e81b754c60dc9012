"""Where figures come from: the machine, the versions, the commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from wpsgd.processors import processors

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("wpsgd", "numpy", "scipy", "numba", "scikit-learn", "snapml", "vowpalwabbit", "mpi4py", "mpich")


def machine() -> dict[str, str]:
    """Processor, cores, memory, system, and how busy it is."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": str(processors()),
        "memory": _field("/proc/meminfo", "MemTotal") or "unknown",
        "system": f"{platform.system()} {platform.machine()}",
        "load": load(),
    }


def load() -> str:
    """Processes that wanted a processor in the last minute, on average; the bench itself is one of them."""
    return f"{os.getloadavg()[0]:.2f}"


def versions() -> dict[str, str]:
    """Of Python and of all packages that take part; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The checkout's commit, marked where files differ from it; "unknown" outside of one."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _field(file: str, name: str) -> str | None:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)
