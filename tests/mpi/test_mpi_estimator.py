"""WPSGDClassifier in a script that runs on four MPI ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import run_ranks


@pytest.mark.mpi
def test_four_unequal_ranks_end_with_the_model_of_the_whole(tmp_path: Path) -> None:
    run_ranks("estimator_ranks.py", 4, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4  # every rank got to its end
