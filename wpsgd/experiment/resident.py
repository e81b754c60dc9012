"""Memory as the system tells of it: what a process took, and what it may take."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from wpsgd.control_groups import group_folders, words_in

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


def limit_bytes() -> int:
    """The least of this host's memory and of what its control groups allow."""
    return min([physical_bytes(), *_group_limits()])


def physical_bytes() -> int:
    """Memory of this host."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _fields(path: Path) -> dict[str, int]:
    """The lines `Name:  123 kB` of a file under /proc, in bytes."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * KIB for words in lines if words[2:] == ["kB"]}


def _group_limits() -> list[int]:
    """The limits of this process's control groups and of those above them, of either version."""
    names = {1: "memory.limit_in_bytes", 2: "memory.max"}
    texts = [words_in(folder / names[version]) for version, folder in group_folders("memory")]
    return [int(text) for words in texts for text in words if text.isdigit()]
