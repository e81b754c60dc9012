"""Counted tests: few repetitions in `make test`, many in `make soak`, which keeps what was counted."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOAKING = os.environ.get("WPSGD_SOAK") == "1"
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results" / "soak.json"


def repetitions(few: int, many: int) -> int:
    """How often to repeat: `many` times in a soak."""
    return many if SOAKING else few


def git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def keep(name: str, seed: int, counts: Mapping[str, int]) -> None:
    """Writes what a soak counted, with its seed and the commit; nothing in `make test`."""
    if not SOAKING:
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    commit = git("describe", "--always") + (
        "-dirty" if git("status", "--porcelain", "wpsgd", "tests") else ""
    )
    found[name] = {"commit": commit, "seed": seed, "counts": dict(sorted(counts.items()))}
    RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
