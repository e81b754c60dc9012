"""WPSGDClassifier: a linear classifier in scikit-learn's own dialect, trained by any strategy."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from wpsgd.data.svmlight import ZeroBased
from wpsgd.estimator import continuing, formats, path
from wpsgd.estimator.deciding import decision_values
from wpsgd.estimator.files import FromFile, check_alone, is_path, whole_file
from wpsgd.estimator.given import classes_of, coefficients, completed, models_of, untouched
from wpsgd.estimator.inputs import matrix_of
from wpsgd.estimator.platt import probabilities
from wpsgd.estimator.probability import OfProbabilities, probabilities_of_loss
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.stepsize import SCHEDULES

PAPER = "https://doi.org/10.1016/j.jpdc.2020.06.011"  # of WP-SGD, as CITATION.cff has it


class WPSGDClassifier(ClassifierMixin, SparseCoefMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """A linear SVM (or another linear classifier) trained on many threads or MPI ranks.

    Minimises alpha/2 ||w||^2 + weighted mean loss. Names and defaults are SGDClassifier's. Labels of more
    than two classes train one problem a class, it against the rest.

    loss: "hinge", "squared_hinge", "log_loss" or "modified_huber"
    penalty: "l2" alone: L1 and elastic net are out of scope
    alpha: L2 strength. LIBLINEAR's C is 1 / (alpha sum_i s_i), where s_i is a row's sample weight times the
        weight of its class: 1 / (alpha n) without weights. A fit minds how weights compare with one another:
        all of them doubled is the same model, of half that C. SGDClassifier's alpha is alpha mean(s_i)
    fit_intercept: whether a constant column of value `intercept_scaling` is learnt, regularised as
        LinearSVC's is, by every solver: which one trains does not change what is minimised
    max_iter: passes over the rows, factorisations and Newton steps among them
    tol: in units of the objective, about 1 for w = 0; None: never ends
        "dual", "newton": the duality gap, so that the objective is at most so far above the optimum
        "sgd": n_iter_no_change passes in a row lowered the objective, each row's loss as the pass met it, by
        less (as SGDClassifier has it); the fit then ends where the end of a pass is the best of as many, on
        up to 1,000 of the rows. With early_stopping: they raised the accuracy on validation_fraction of the
        rows by less
    max_seconds: of a fit, all classes together, or None
    solver: "dual" (hinge, squared hinge) and "newton" (on the weights, all losses but the hinge), both with a
        certified gap; "sgd"; "auto": "dual" for both hinges, "newton" for the others, "sgd" where these do
        not apply or are the slower. "dual" makes passes over the rows, an interior point's factorisations or
        Newton steps, what is foreseen to cost least first; below 1,000 rows (of up to 20,000 features) it
        solves to machine precision, as far as rounding lets it. A warm start goes on from dual variables
        ("dual") or from weights ("newton", "sgd"). Of MPI ranks the first takes in all rows and solves as one
        process would, to the same bits, up to 5e7 entries (2 GiB); above, "auto" is SGD by all ranks, "dual"
        is "cocoa" to the gap `tol`, and "newton" is refused
    strategy: a name or a dict of [[strategy]] keys (README.md), beside which `sharding` and `skew` say how
        rows are dealt to threads, as in [data]; None: "simuparallel" on threads, else "wp".
        One random_state does not make a race repeat: rounds of "wp", "average_directly" and "hybrid", and of
        ending = "race" or "time", end where real clocks say, so that ten fits are ten models. Nor do
        lock-free `threads` repeat (those of "minibatch", "cocoa" and "admm" do). To the bit repeat, with the
        same number of workers: "simuparallel", "minibatch", "cocoa" and "admm" on threads, "sequential",
        "delay"; races of one worker, with ending = "rows" or "given" (fixed counts), or under
        Simulated(cluster), whose clocks are virtual; solvers other than "sgd"
    n_workers: threads of "sgd"; None: one for each processor that this process may use (affinity mask, CPU
        quota), at most one for each 10,000 rows; 1 in a worker of joblib, whose siblings use the others.
        A model depends on their number: for one seed to give one model on any machine, name a number
    period, rule: as in a [[strategy]] entry; average: rule "tail", with which SGD varies less: weights are
        averaged over the rows of a round, or of a call of partial_fit; an integer: from that step on
    n_jobs: classes trained side by side, as far as scikit-learn's working_memory holds them; "sgd": blocks of
        classes, of which a pass over the rows serves all, each as large as its part of that memory. Beside
        it are the rows and coef_. Blocks change no bit of a model: a class leaves where it meets `tol`. Rules
        that look at a whole model (`average`, "diagonal", "inverse_variance", "validated", line_search),
        wire = "sparse", delays, threads, "cocoa", "admm" and simulated clusters train class by class
    runtime: None, or a runtime of wpsgd.runtimes: Simulated(cluster), or MPI(comm), where each rank passes
        rows of its own, be it none, or all one path, and all end with one model; all call `fit` together
    probability: whether `predict_proba` is there; a fit then trains once more, without validation_fraction of
        the rows, on whose margins Platt's scaling is fitted; margins of the others carry it over to the model
    unit_norm: whether each row is scaled to unit L2 norm first, in `fit` and wherever rows are judged, as
        [data] unit_norm does in `wpsgd run`
    class_weight: dict, "balanced" (over all ranks) or None; warm_start: whether a fit begins with the last
    learning_rate: of [model] in README.md, or "adaptive": eta0 until a run would stop, then a fifth of it,
        and so on down to 1e-6
    eta0, power_t, shuffle, random_state, verbose: as in SGDClassifier

    After a fit: coef_ (models, features), intercept_ (models,), classes_, n_iter_ (passes, of the longest
    problem; factorisations or Newton steps where these found the model), solver_, trace_ (wpsgd.trace,
    without a header; of several models each event names its `class`, or its `classes` where a block shares
    it, of which relative_deviation is then), n_features_in_ and, of named columns, feature_names_in_.

    >>> from sklearn.datasets import load_iris
    >>> from wpsgd import WPSGDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = WPSGDClassifier(random_state=0).fit(X, y)
    >>> model.solver_, model.coef_.shape, bool(model.score(X, y) > 0.9)
    ('dual', (3, 4), True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "loss": [StrOptions(set(LOSSES))],
        "penalty": [str, None],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "fit_intercept": ["boolean"],
        "intercept_scaling": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "shuffle": ["boolean"],
        "verbose": ["verbose"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "learning_rate": [StrOptions({*SCHEDULES, "adaptive"})],
        "eta0": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "warm_start": ["boolean"],
        "average": ["boolean", Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"auto", "sgd", "dual", "newton"})],
        "strategy": [str, Mapping, None],
        "n_workers": [Interval(Integral, 1, None, closed="left"), None],
        "period": [StrOptions({"pass"}), Interval(Integral, 1, None, closed="left")],
        "rule": [str, None],
        "runtime": [HasMethods(["run", "gathered"]), None],
        "probability": ["boolean"],
        "unit_norm": ["boolean"],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        loss: str = "hinge",
        *,
        penalty: str | None = "l2",
        alpha: float = 0.0001,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        n_jobs: int | None = None,
        random_state: Any = None,
        learning_rate: str = "optimal",
        eta0: float = 0.01,
        power_t: float = 0.5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Mapping[Any, float] | str | None = None,
        warm_start: bool = False,
        average: bool | int = False,
        solver: str = "auto",
        strategy: str | Mapping[str, Any] | None = None,
        n_workers: int | None = None,
        period: int | str = "pass",
        rule: str | None = None,
        runtime: Any = None,
        max_seconds: float | None = None,
        probability: bool = False,
        unit_norm: bool = False,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average
        self.solver = solver
        self.strategy = strategy
        self.n_workers = n_workers
        self.period = period
        self.rule = rule
        self.runtime = runtime
        self.max_seconds = max_seconds
        self.probability = probability
        self.unit_norm = unit_norm

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> WPSGDClassifier:
        """Trains on rows X (n, features), dense, sparse or a data frame, with labels y (n,).

        X may be the path of svmlight text, plain or compressed, or of a store (`wpsgd data convert`), labels
        included. Of MPI ranks that pass one path each takes a stretch of its rows; compressed text is read by
        each. coef_ numbers columns as the source does, from 0, so that it goes with any X.
        sample_weight: of the rows (n,), not negative; a row of weight 2 is two rows
        coef_init, intercept_init: weights to begin with, of the shapes of coef_ and intercept_; "auto" then
            takes a solver that can begin with them. So it does with `warm_start` where coef_ or intercept_
            were set from outside. "dual" begins anew, and warns
        Raises ValueError (ConfigError and DataError are that too), Diverged; ends with ConvergenceWarning
        where tol was not met.
        """
        continuing.fit(self, X, y, sample_weight, coef_init, intercept_init)
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> WPSGDClassifier:
        """One more pass of SGD by one worker over rows that may be new; sample weights are taken as they are.

        It goes on exactly where the last pass ended: k calls on the same rows are a fit of k passes by one
        worker, bit for bit; from coef_, intercept_ and classes_ too that somebody set, or `load` read.
        classes: all that there will be, needed in the first call unless classes_ is set. n_workers, n_jobs,
        tol, max_iter and max_seconds have no effect; early_stopping, probability, "balanced", and solvers,
        strategies, rules, periods and runtimes other than its own are refused.
        """
        continuing.partial_fit(self, X, y, classes, sample_weight)
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """<w, x> + intercept, of shape (n,) for two classes, else (n, classes).

        X may be a path, here and in what follows, of which each process reads all, in the source's order.
        """
        check_is_fitted(self, "coef_")
        X = self._read(X) if is_path(X) else X
        # what a file's columns were scaled by may be more than those that the model knows
        matrix = matrix_of(self, X.matrix, scale=False) if isinstance(X, FromFile) else matrix_of(self, X)
        models = models_of(classes_of(self))
        scores = decision_values(matrix, *coefficients(self, matrix.shape[1], models))
        return scores.ravel() if models == 1 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each row, of shape (n,)."""
        scores = self.decision_function(X)
        numbers = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(classes_of(self)[numbers])

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The share of rows whose class is predicted; of a path its labels are y, which is left out."""
        check_is_fitted(self, "coef_")
        if is_path(X):
            check_alone(y, sample_weight)
            path, X = X, self._read(X)
            y = formats.targets_of(self, X.targets, path)
        return float(super().score(X, y, sample_weight))

    def _read(self, path: Any) -> FromFile:
        zero_based: ZeroBased = getattr(self, "_zero_based", "auto")
        return whole_file(path, np.shape(self.coef_)[-1], zero_based, unit_norm=self.unit_norm)

    @OfProbabilities
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, (n, classes): of log_loss, modified_huber, or `probability=True`.

        log_loss: 1 / (1 + exp(-f)) of decision values f; modified_huber: (clip(f, -1, 1) + 1) / 2. Of several
        classes, each against the rest, they are divided by their sum; where that is 0 all are equal.
        With `probability=True` Platt's scaling, for any loss.

        Weights change them: with weights w+ and w- of two classes ("balanced": w+/w- = n-/n+) the odds are
        w+/w- times those among the rows; p w- / (p w- + (1 - p) w+) is the probability among the rows.

        Their argmax is what `predict` says, except where classes are equally probable (modified_huber: all
        with f >= 1, or all with f <= -1), which decision values still tell apart, and with
        `probability=True`, where Platt's scaling moves the threshold, as it does in SVC.
        """
        check_is_fitted(self, "coef_")
        scores = np.asarray(self.decision_function(X), dtype=np.float64)
        if not self.probability:
            return probabilities_of_loss(scores, self.loss)
        check_is_fitted(self, "calibration_")
        if not untouched(self):
            raise NotFittedError(
                "calibration_ is of other weights: coef_ or intercept_ were set after the fit: call fit again"
            )
        return probabilities(scores, self.calibration_)

    @OfProbabilities
    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """The logarithm of `predict_proba`, -inf for a probability of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    @property
    def t_(self) -> float:
        """1 + the steps that SGD has taken, as SGDClassifier counts: `partial_fit` goes on with step t_.

        After another solver: where SGD goes on without undoing what was solved. To set it moves the schedule.
        """
        if not hasattr(self, "_learners"):
            raise AttributeError(f"This {type(self).__name__!r} has no attribute 't_': it is not fitted")
        return 1.0 + max(float(one.get("steps", 0)) for one in self._learners)

    @t_.setter
    def t_(self, value: float) -> None:
        learners = getattr(self, "_learners", [{}])
        self._learners = [{"epoch": 0, "cursor": 0, **one, "steps": round(value) - 1} for one in learners]

    def alpha_path(
        self, X: Any, y: Any, alphas: Iterable[float], sample_weight: Any = None
    ) -> list[WPSGDClassifier]:
        """Fitted copies, one for each of `alphas`, in their order; each begins with the stronger one before.

        >>> from sklearn.datasets import load_breast_cancer
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> [model.alpha for model in WPSGDClassifier().alpha_path(X, y, [1e-3, 1e-2])]
        [0.001, 0.01]
        """
        return path.alpha_path(self, X, y, alphas, sample_weight)

    def to_sklearn(self) -> Any:
        """A fitted SGDClassifier with the same weights; with `unit_norm` a Pipeline that scales rows."""
        check_is_fitted(self, "coef_")
        return formats.to_sklearn(completed(self))

    def save_liblinear(self, path: str | os.PathLike[str]) -> None:
        """Writes the text model that LIBLINEAR's predict reads.

        Raises DataError for labels that are no integers of 32 bits, as LIBLINEAR's are.
        """
        check_is_fitted(self, "coef_")
        formats.save_liblinear(completed(self), Path(path))

    def save_onnx(self, path: str | os.PathLike[str]) -> None:
        """Writes an ONNX model of one LinearClassifier, in float32.

        Its labels are int64 where classes are whole numbers, be they floats or bools here; of other floats
        they are texts, and a warning says so.
        """
        check_is_fitted(self, "coef_")
        formats.save_onnx(completed(self), Path(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz without pickles, which `wpsgd score`, `predict`, `export` and `combine` read too.

        Parameters come back equal; a warning names those that cannot be stored, such as a runtime.
        """
        check_is_fitted(self, "coef_")
        formats.save(completed(self), Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WPSGDClassifier:
        """What `save` or `wpsgd run` wrote. Raises DataError where the file is not that.

        A run that was told several labels for one class ([data] positive) has the classes -1 and +1.
        """
        loaded: WPSGDClassifier = formats.load(cls, Path(path))
        return loaded

    _doc_link_module = "wpsgd"

    @property
    def _doc_link_template(self) -> str:
        """The address behind the question mark of the estimator's HTML: the package's documentation.

        The one that an installation names ([project.urls] Documentation), else the paper.
        """
        try:
            urls = importlib.metadata.metadata("wpsgd").get_all("Project-URL") or []
        except importlib.metadata.PackageNotFoundError:
            urls = []
        found = (url.split(",", 1)[1].strip() for url in urls if url.lower().startswith("documentation,"))
        return next(found, PAPER)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
