"""Real data for tests, where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def real_file(name: str) -> Path:
    """The file `name` of the real data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("WPSGD_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / name
    if not path.exists():
        pytest.skip(f"{name} is neither in WPSGD_TEST_DATA nor in ../shared/data")
    return path
