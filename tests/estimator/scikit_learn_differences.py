"""Which of scikit-learn's own tests WPSGDClassifier fails, and the documented difference that is why."""

from __future__ import annotations

VERSION = "1.9"  # of scikit-learn, whose tests these are

PENALTY = "penalty: L1 and elastic net are out of scope, and refused"
LOSSES = "loss: those of regression are out of scope, and refused"
AVERAGES = 'average: the rule "tail", whose state is not kept under SGDClassifier\'s private names'
VALIDATION = "early_stopping: validation rows are drawn class by class, not by StratifiedShuffleSplit"
FEW = "early_stopping: of each class a row is left to train on, whatever validation_fraction is"
POWER = "power_t: a negative one is refused, where SGDClassifier warns"
MESSAGE = "the refusal has another wording"
INTERNAL = "looks into SGDClassifier's private modules"
STEPS = (
    "a constant step with eta0 alpha > 1 is refused, where SGDClassifier clips what it does to the weights"
)
TIES = "modified_huber: classes are equally probable, as the docstring of predict_proba says"
LAST = "the intercept is regularised, as LinearSVC's is: the last iterate tells a row of 150 otherwise"
STOP = "a run goes on to a good end of a pass: that of this seed is the same with both tolerances"
ACCURACY = "early_stopping: of other validation rows the accuracy rises for longer"
DUAL = 'LinearSVC\'s dual has no counterpart: solver="auto" chooses what solves the hinge'
CRAMMER = 'multi_class="crammer_singer" is out of scope: classes are told from the rest'
EXACT = "two Newton steps meet tol where two of LIBLINEAR's do not: there is nothing to warn of"

DIFFERENCES: dict[str, str] = {
    "test_sgd_plain_has_no_average_attr[SGDClassifier]": AVERAGES,
    "test_sgd_plain_has_no_average_attr[SparseSGDClassifier]": AVERAGES,
    "test_sgd_late_onset_averaging_reached[SGDClassifier]": LOSSES,
    "test_sgd_late_onset_averaging_reached[SparseSGDClassifier]": LOSSES,
    "test_sgd_validation_set_not_used_for_training[SGDClassifier]": VALIDATION,
    "test_sgd_validation_set_not_used_for_training[SparseSGDClassifier]": VALIDATION,
    "test_sgd_not_enough_sample_for_early_stopping[SGDClassifier]": FEW,
    "test_sgd_not_enough_sample_for_early_stopping[SparseSGDClassifier]": FEW,
    "test_sgd_sgd_l1_ratio_not_used[0-SGDClassifier]": PENALTY,
    "test_sgd_sgd_l1_ratio_not_used[0.7-SGDClassifier]": PENALTY,
    "test_sgd_sgd_l1_ratio_not_used[1-SGDClassifier]": PENALTY,
    "test_sgd_sgd_failing_penalty_validation[SGDClassifier]": PENALTY,
    "test_sgd_sgd_failing_penalty_validation[SparseSGDClassifier]": PENALTY,
    "test_sgd_power_t_limits[SGDClassifier]": POWER,
    "test_sgd_power_t_limits[SparseSGDClassifier]": POWER,
    "test_sgd_average_binary_computed_correctly[SGDClassifier]": LOSSES,
    "test_sgd_average_binary_computed_correctly[SparseSGDClassifier]": LOSSES,
    "test_sgd_partial_fit_weight_class_balanced[SGDClassifier]": MESSAGE,
    "test_sgd_partial_fit_weight_class_balanced[SparseSGDClassifier]": MESSAGE,
    "test_sgd_sgd_multiclass_average[SGDClassifier]": LOSSES,
    "test_sgd_sgd_multiclass_average[SparseSGDClassifier]": LOSSES,
    "test_sgd_sgd_proba[SparseSGDClassifier]": TIES,
    "test_sgd_sgd_l1[SGDClassifier]": PENALTY,
    "test_sgd_sgd_l1[SparseSGDClassifier]": PENALTY,
    "test_sgd_balanced_weight[SGDClassifier]": LAST,
    "test_sgd_balanced_weight[SparseSGDClassifier]": LAST,
    "test_sgd_regression_losses[SGDClassifier]": LOSSES,
    "test_sgd_regression_losses[SparseSGDClassifier]": LOSSES,
    "test_sgd_l1_ratio": PENALTY,
    "test_sgd_underflow_or_overflow": MESSAGE,
    "test_sgd_numerical_stability_large_gradient": PENALTY,
    "test_sgd_large_regularization[l2]": STEPS,
    "test_sgd_large_regularization[l1]": PENALTY,
    "test_sgd_large_regularization[elasticnet]": PENALTY,
    "test_sgd_tol_parameter": STOP,
    "test_sgd_multi_thread_multi_class_and_early_stopping": ACCURACY,
    "test_sgd_validation_mask_correctly_subsets": INTERNAL,
    "test_sgd_sgd_error_on_zero_validation_weight": MESSAGE,
    "test_svm_linearsvc_parameters[True-l1-hinge]": PENALTY,
    "test_svm_linearsvc_parameters[True-l1-squared_hinge]": PENALTY,
    "test_svm_linearsvc_parameters[False-l1-hinge]": PENALTY,
    "test_svm_linearsvc_parameters[False-l1-squared_hinge]": PENALTY,
    "test_svm_linearsvc_parameters[False-l2-hinge]": DUAL,
    "test_svm_linearsvc": PENALTY,
    "test_svm_linearsvc_crammer_singer": CRAMMER,
    "test_svm_dense_liblinear_intercept_handling": PENALTY,
    "test_svm_linear_svm_convergence_warnings": EXACT,
    "test_svm_linearsvm_liblinear_sample_weight[LinearSVC-params0]": PENALTY,
}
