"""How much memory this process may use."""

from __future__ import annotations

import os
import resource

from wpsgd.control_groups import group_folders, words_in
from wpsgd.errors import DataError

GIB = 1 << 30
VECTORS = 2  # of weights that the leanest training holds


def limit_bytes() -> int:
    """The least of this host's memory, of what its control groups allow, and of `ulimit -v`."""
    return min([physical_bytes(), *_group_limits(), *_address_space()])


def physical_bytes() -> int:
    """Memory of this host."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _group_limits() -> list[int]:
    """The limits of this process's control groups and of those above them, of either version."""
    names = {1: "memory.limit_in_bytes", 2: "memory.max"}
    texts = [words_in(folder / names[version]) for version, folder in group_folders("memory")]
    return [int(text) for words in texts for text in words if text.isdigit()]


def _address_space() -> list[int]:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if soft == resource.RLIM_INFINITY else [soft]


def check_width(features: int, models: int, itemsize: int) -> None:
    """Raises DataError where weights for so many columns cannot be held: one index is a slip, or a hash."""
    needed, limit = VECTORS * models * features * itemsize, limit_bytes()
    if needed > limit:
        weights = "weights" if models == 1 else f"weights of {models} classes"
        raise DataError(
            f"X has {features:,} columns: {weights} for all take some {needed / GIB:.1f} GiB,"
            f" {limit / GIB:.1f} GiB may be used: is the largest index meant?"
        )
