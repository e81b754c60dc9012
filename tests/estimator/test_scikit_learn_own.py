"""scikit-learn's own tests of SGDClassifier and LinearSVC, from its wheel, with WPSGDClassifier instead.

scikit_learn_differences.py lists those that fail, one by one, with the documented difference: one of them
that passes is a failure here.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import types
from typing import Any

import pytest
import sklearn.linear_model
import sklearn.svm
from scikit_learn_adapter import LinearSVC, SGDClassifier
from scikit_learn_differences import DIFFERENCES, VERSION

OTHERS = re.compile("Regressor|OneClass|LinearSVR")  # estimators that the same tests are about


def wheel_tests(peer: type[Any], package: types.ModuleType, file: str) -> dict[str, Any]:
    """The tests in which the name of `peer` stands, which find it there."""
    if not sklearn.__version__.startswith(f"{VERSION}."):
        return missing(
            f"of scikit-learn {VERSION}, not {sklearn.__version__}, it is known which tests differ"
        )
    spec = importlib.util.find_spec(f"{package.__name__}.tests.{file}")
    if spec is None or spec.loader is None:
        return missing(f"this scikit-learn comes without {file}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, peer.__name__, peer)
        spec.loader.exec_module(module)
        vars(module)[package.__name__.split(".")[-1]] = types.SimpleNamespace(**vars(package))
    tests = {name: value for name, value in vars(module).items() if name.startswith("test_")}
    found = {name: test for name, test in tests.items() if peer.__name__ in inspect.getsource(test)}
    for test in found.values():
        marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
        test.pytestmark = [without_others(mark) for mark in marks]
    return {f"{file}_{name.removeprefix('test_')}": test for name, test in found.items()}


def missing(reason: str) -> dict[str, Any]:
    return {"test_of_the_wheel": pytest.mark.skip(reason=reason)(lambda: None)}


def without_others(mark: pytest.Mark) -> pytest.Mark:
    """The parameters that are no classifiers left out."""
    values = [value for value in mark.args[1] if not OTHERS.search(str(value))]
    return pytest.mark.parametrize(mark.args[0], values, **mark.kwargs).mark


globals().update(wheel_tests(SGDClassifier, sklearn.linear_model, "test_sgd"))
globals().update(wheel_tests(LinearSVC, sklearn.svm, "test_svm"))


@pytest.fixture
def global_random_seed() -> int:
    """As scikit-learn's own conftest has it where nobody chooses."""
    return 42


@pytest.fixture(autouse=True)
def _expected(request: pytest.FixtureRequest) -> None:
    if reason := DIFFERENCES.get(request.node.name):
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def test_every_listed_difference_is_of_a_test_that_there_is() -> None:
    if "test_of_the_wheel" in globals():
        pytest.skip("the lists are of another scikit-learn")
    assert {name.partition("[")[0] for name in DIFFERENCES} <= {*globals()}
