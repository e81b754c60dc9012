"""How many processors this process may use: the one count that defaults of threads are made from."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from math import ceil

from wpsgd.control_groups import group_folders, words_in


def processors() -> int:
    """Of this host, as far as the affinity mask, the CPU quota of control groups and joblib let this process.

    A quota of 2.5 processors counts as 3, as joblib counts it. LOKY_MAX_CPU_COUNT is obeyed.
    """
    import joblib  # it takes as long as some commands do

    with warnings.catch_warnings():
        # Linux without sched_getaffinity; on macOS, where nobody has it, joblib says nothing either
        warnings.filterwarnings("ignore", message="Failed to inspect CPU affinity")
        counted = int(joblib.cpu_count())
    return max(1, min([counted, *_quotas()]))


def free_processors() -> int:
    """Those that one task may use: 1 in a worker of joblib or of a multiprocessing.Pool, else all.

    Such a worker has siblings, which are there to use the others.
    """
    return 1 if _is_worker() else processors()


def present_processors() -> int:
    """Those of this host, whoever may use them."""
    return os.cpu_count() or 1


def narrowed_by() -> str:
    """What leaves this process fewer processors than the host has; empty where nothing does."""
    allowed, present = processors(), present_processors()
    if allowed >= present:
        return ""
    masked = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    if masked == allowed:
        return "the affinity mask"
    if os.environ.get("LOKY_MAX_CPU_COUNT") == str(allowed):
        return "LOKY_MAX_CPU_COUNT"
    return "the CPU quota of its control group"


def _is_worker() -> bool:
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    return bool(backend.nesting_level) or bool(multiprocessing.current_process().daemon)


def _quotas() -> list[int]:
    """The CPU quotas of this process's control groups; joblib looks at those of a container's root alone."""
    found = []
    for version, folder in group_folders("cpu"):
        words = words_in(folder / "cpu.max")
        if version == 1:
            words = words_in(folder / "cpu.cfs_quota_us") + words_in(folder / "cpu.cfs_period_us")
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]) > 0:
            found.append(ceil(int(words[0]) / int(words[1])))  # "max" and -1 are no quota
    return found
