"""The examples in docstrings, run as they stand."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import wpsgd.estimator


def test_the_examples_of_the_estimator_hold() -> None:
    attempted = 0
    for info in pkgutil.iter_modules(wpsgd.estimator.__path__, "wpsgd.estimator."):
        result = doctest.testmod(importlib.import_module(info.name))
        attempted += result.attempted
        assert result.failed == 0, info.name
    assert attempted > 5
