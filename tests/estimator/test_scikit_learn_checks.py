"""scikit-learn's own estimator checks."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from wpsgd import WPSGDClassifier

# as scikit-learn says of its own SGDClassifier
REASON = "sample_weight is not equivalent to removing/repeating samples."
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


@parametrize_with_checks([WPSGDClassifier()])
def test_the_default_passes_every_check(estimator: Any, check: Any) -> None:
    check(estimator)


@parametrize_with_checks(
    [WPSGDClassifier(solver="sgd", max_iter=100)], expected_failed_checks=lambda estimator: EXPECTED
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sgd_passes_every_check_but_equivalence_of_sample_weights(estimator: Any, check: Any) -> None:
    check(estimator)
