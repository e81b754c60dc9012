"""With NUMBA_DISABLE_JIT=1 Python runs the kernels, and all comes out as from compiled ones."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from interpreted_kernels import models
from support import TESTS, environment

from wpsgd.kernels.compile import interpreted


# powers and logarithms may differ in the last digit
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 1e-5)])
def test_every_kind_of_model_is_the_same_where_python_runs_the_kernels(dtype: str, tolerance: float) -> None:
    # another process, for numba reads the setting once; a warning of arithmetic ends it
    command = [sys.executable, "-W", "error::RuntimeWarning", str(TESTS / "interpreted_kernels.py"), dtype]
    answer = subprocess.run(
        command, env=environment(NUMBA_DISABLE_JIT="1"), capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = models(dtype)
    assert found.keys() == expected.keys()
    for name, weights in expected.items():
        assert np.allclose(found[name], weights, rtol=tolerance, atol=tolerance * np.abs(weights).max()), name


def test_interpreted_arithmetic_widens_float32_and_wraps_integers_around_silently() -> None:
    @interpreted
    def third(value: np.float32, share: float) -> float:
        return value * share

    @interpreted
    def doubled(value: np.uint64) -> np.uint64:
        return value + value

    assert third(np.float32(1.0), 1 / 3) == 1 / 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert doubled(np.uint64(2**63 + 1)) == 2


@pytest.mark.parametrize("value", [1, np.float32(0.5), None, "text"])
def test_what_is_no_python_float_is_passed_to_an_interpreted_kernel_as_it_is(value: object) -> None:
    assert interpreted(lambda given: given)(value) is value
