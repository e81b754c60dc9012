"""Memory as the system tells of it: what a process took, and what it may take."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

PROC, CGROUPS = Path("/proc/self"), Path("/sys/fs/cgroup")
KIB = 1024


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
        private, shared = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB, 0
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
    try:
        groups = (PROC / "cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in groups:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            found += _limits_above(CGROUPS, group, "memory.max")
        elif "memory" in controllers.split(","):
            found += _limits_above(CGROUPS / "memory", group, "memory.limit_in_bytes")
    return found


def _limits_above(root: Path, group: str, name: str) -> list[int]:
    """Those of a group and its parents; in a container, whose paths differ, those of its root."""
    place = Path(group.strip("/"))
    texts = []
    for folder in (place, *place.parents):
        try:
            texts.append((root / folder / name).read_text().strip())
        except OSError:
            continue
    return [int(text) for text in texts if text.isdigit()]
