"""What is said of a strategy before it runs."""

from __future__ import annotations

import pytest

from wpsgd.config.reading import settings_of
from wpsgd.data.synthetic import problem
from wpsgd.experiment.remarks import remark


@pytest.mark.parametrize(("name", "said"), [("admm", True), ("cocoa", False), ("sequential", False)])
def test_a_tolerance_that_ends_nothing_is_no_secret(name: str, said: bool) -> None:
    tables = {"data": {"source": "x"}, "model": {"solver": "dual", "tol": 0.1}, "strategy": [{"name": name}]}
    settings = settings_of(tables, "tests")
    found = remark(settings.strategies[0], settings, problem(20, 16, 3.0, noise=0.0, seed=1).rows)
    assert found == (
        f"{name}: knows no duality gap: all rounds are run, whatever [model] tol is" if said else ""
    )
