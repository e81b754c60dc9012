"""One Slurm for all tests of this folder, and what they submit to it."""

from __future__ import annotations

from collections.abc import Iterator

import cluster
import pytest


@pytest.fixture(scope="session")
def slurm() -> Iterator[cluster.Slurm]:
    """Four nodes."""
    if reason := cluster.missing():
        pytest.skip(f"no Slurm can be started: {reason}")
    with cluster.slurm(nodes=4) as started:
        yield started
