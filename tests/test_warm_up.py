"""Kernels are compiled before any clock starts."""

import json
import subprocess
import sys

from late_kernels import CASES
from support import TESTS, environment


def test_no_strategy_compiles_a_kernel_once_its_learners_are_warm() -> None:
    # another process, for what one test has compiled no other compiles again
    command = [sys.executable, str(TESTS / "late_kernels.py")]
    answer = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=True, timeout=600
    )
    assert json.loads(answer.stdout) == {str(entry): [] for entry in CASES}
