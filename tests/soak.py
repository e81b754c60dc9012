"""Counted tests: few repetitions in `make test`, many in `make soak`, which keeps what was counted.

What clocks and the chances of threads show is measured in a soak alone, as ratios with their spread.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest

SOAKING = os.environ.get("WPSGD_SOAK") == "1"
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results" / "soak.json"


only = pytest.mark.skipif(not SOAKING, reason="what a clock or chance decides: make soak measures it")


def repetitions(few: int, many: int) -> int:
    """How often to repeat: `many` times in a soak."""
    return many if SOAKING else few


def git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def keep(name: str, seed: int, counts: Mapping[str, int]) -> None:
    """Writes what a soak counted, with its seed and the commit; nothing in `make test`."""
    _write(name, {"seed": seed, "counts": dict(sorted(counts.items()))})


def keep_ratios(name: str, found: Mapping[str, Sequence[float]]) -> None:
    """Writes what a soak measured over and over: by name the median, the least, the most, and of how many."""
    ratios = {
        what: {
            "median": round(median(values), 4),
            "least": round(min(values), 4),
            "most": round(max(values), 4),
            "of": len(values),
        }
        for what, values in sorted(found.items())
    }
    _write(name, {"ratios": ratios})


def _write(name: str, found: Mapping[str, Any]) -> None:
    if not SOAKING:
        return
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    commit = git("describe", "--always") + (
        "-dirty" if git("status", "--porcelain", "wpsgd", "tests") else ""
    )
    kept[name] = {"commit": commit, **found}
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
