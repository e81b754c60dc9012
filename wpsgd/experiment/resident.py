"""Memory as the system tells of it: what a process took, and what it may take."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from wpsgd.memory_limit import limit_bytes, physical_bytes

__all__ = ["Resident", "limit_bytes", "physical_bytes", "resident"]

PROC = Path("/proc/self")
KIB = 1024
# of getrusage's largest resident size
RUSAGE_UNIT = 1 if sys.platform == "darwin" else KIB


@dataclass(frozen=True, slots=True)
class Resident:
    """What one process took, in bytes.

    private: at its peak, beside the pages of files; shared: its part of those pages and of memory shared with
    other processes, so that the parts of all add up to what there is
    """

    host: str
    private: int
    shared: int


def resident() -> Resident:
    """Of this process so far. Where the system tells nothing of shared pages, all are private."""
    try:
        status, rollup = _fields(PROC / "status"), _fields(PROC / "smaps_rollup")
        files = status["RssFile"] + status["RssShmem"]
        private, shared = status["VmHWM"] - files, rollup["Pss_File"] + rollup["Pss_Shmem"]
    except (OSError, KeyError, ValueError):
        private, shared = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RUSAGE_UNIT, 0
    return Resident(gethostname(), private, shared)


def _fields(path: Path) -> dict[str, int]:
    """The lines `Name:  123 kB` of a file under /proc, in bytes."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * KIB for words in lines if words[2:] == ["kB"]}
