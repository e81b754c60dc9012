"""The control groups that this process is in: where Linux says what a container or a job may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

OWN, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def group_folders(controller: str) -> Iterator[tuple[int, Path]]:
    """The folders of this process's groups and of those above them, each with its version, 1 or 2.

    In a container, whose paths differ from what it sees, its root is among them. Elsewhere there are none.
    """
    try:
        lines = OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers != "" and controller not in controllers.split(","):
            continue
        root, place = ROOT / controller if controllers else ROOT, Path(group.strip("/"))
        for folder in (place, *place.parents):
            yield 1 if controllers else 2, root / folder


def words_in(path: Path) -> list[str]:
    """The words of a small file; none where it cannot be read."""
    try:
        return path.read_text().split()
    except OSError:
        return []
