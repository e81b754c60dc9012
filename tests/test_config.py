"""Experiment and cluster files: what is read, what is refused, what a strategy's entry becomes."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wpsgd.config import Settings, load, load_cluster
from wpsgd.config.files import shipped
from wpsgd.config.strategies import DEFAULTS, KINDS
from wpsgd.data.shards import SHARDINGS, shard
from wpsgd.errors import ConfigError
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.stepsize import SCHEDULES, StepSize
from wpsgd.learners.keeping import SquaresLearner, TailLearner
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.reducers import RULES, Rule, fednova_with, wp_with
from wpsgd.runtimes.costs import Cluster, Link, RowCost
from wpsgd.strategies.admm import Admm
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.cocoa import VARIANTS, Cocoa
from wpsgd.strategies.minibatch import MiniBatch
from wpsgd.strategies.outer import Outer
from wpsgd.strategies.patterns import ByRows, Given, Looks, Race, TimeBox
from wpsgd.strategies.sequential import Sequential
from wpsgd.strategies.wire import WIRES

DATA = '[data]\nsource = "rows.svm"\n'
WP = '[[strategy]]\nname = "wp"\n'
MINI = '[[strategy]]\nname = "minibatch"\n'
ALONE = '[[strategy]]\nname = "sequential"\n'
CONTRACTIONS = '"theory", "validated", a power of R such as "R^3", or a number above 0 and at most 1'
NAMES = (
    '"sequential", "simuparallel", "wp", "average_directly", "minibatch", "delay", "hybrid", "cocoa", "admm"'
)
COCOA = '[[strategy]]\nname = "cocoa"\n'
ADMM = '[[strategy]]\nname = "admm"\n'
JARGON = re.compile(r"Input should|validation error|pydantic|https?:|type=|union|literal|tuple|None")

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes x.toml into an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        path = Path("x.toml")
        path.write_text(text, encoding="utf-8")
        return path

    return written


def refusal(attempt: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        attempt()
    message = str(caught.value)
    assert not JARGON.search(message)
    return message


def entry(write: Write, strategy: str, rest: str = "") -> tuple[Any, Settings]:
    settings = load(write(DATA + "[[strategy]]\n" + strategy + rest))
    return settings.strategies[0], settings


# what may be left out


def test_a_source_and_a_strategy_are_all_that_a_file_needs(write: Write) -> None:
    settings = load(write(DATA + WP))
    expected = {
        "data": {
            "source": "rows.svm",
            "test": 0.2,
            "positive": [],
            "unit_norm": True,
            "zero_based": "auto",
            "scale": 1.0,
        },
        "model": {
            "loss": "hinge",
            "solver": "sgd",
            "alpha": 1e-4,
            "learning_rate": "optimal",
            "eta0": 1.0,
            "power_t": 0.5,
            "w0": 0.0,
        },
        "machine": {"runtime": "auto", "speeds": []},
        "report": {"looks": 20, "figures": True, "checkpoint_seconds": 60.0, "counterfactual": False},
    }
    expected["data"] |= {"sharding": "shuffled", "cache": True}
    expected["model"] |= {"intercept": "off", "dtype": "float64", "shuffle": True, "block": 64, "seed": 0}
    strategy = {"name": "wp", "label": "wp", "rounds": 10, "period": "pass", "ending": "race", "rule": "wp"}
    strategy |= {"contraction": "theory", "line_search": False, "outer_momentum": 0.0, "outer_rate": 1.0}
    strategy |= {"threads": 1, "wire": "auto"}
    assert tomllib.loads(settings.dumps()) == {**expected, "strategy": [strategy]}
    assert settings.machine.ranks is None
    assert settings.report.target is None


def test_names_that_are_allowed_are_those_of_the_layers_below(write: Write) -> None:
    def accepts(text: str) -> bool:
        return isinstance(load(write(text)), Settings)

    rows = '[[strategy]]\nname = "simuparallel"\n'
    assert all(accepts(f'{DATA}{WP}[model]\nloss = "{loss}"\n') for loss in LOSSES)
    assert all(accepts(f'{DATA}{rows}[model]\nlearning_rate = "{name}"\n') for name in SCHEDULES)
    assert all(accepts(f'{DATA}sharding = "{name}"\n{WP}') for name in SHARDINGS)
    assert all(accepts(f'{DATA}{WP}rule = "{rule}"\n') for rule in RULES)


def test_no_test_rows_and_no_target_have_words_of_their_own(write: Write) -> None:
    settings = load(write(DATA + "test = false\n" + WP + '[report]\ntarget = "none"\n'))
    assert settings.data.test is None
    assert settings.report.target is None
    assert load(write(DATA + 'test = "t.svm"\n' + WP + "[report]\ntarget = 1\n")).data.test == "t.svm"
    assert load(write(settings.dumps())).data.test is None


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("none", None),
        ("balanced", "balanced"),
        ("{positive = 3}", (1.0, 3.0)),
        ("{negative = 0.5, positive = 2}", (0.5, 2.0)),
    ],
)
def test_class_weights_are_a_word_or_two_numbers(write: Write, text: str, factors: object) -> None:
    value = text if text.startswith("{") else f'"{text}"'
    settings = load(write(DATA + WP + f"[model]\nclass_weight = {value}\n"))
    assert settings.model.class_factors == factors
    assert load(write(settings.dumps())) == settings
    assert load(write(DATA + WP), overrides=[f"model.class_weight={text}"]).model == settings.model


def test_the_dual_solver_is_written_down_without_step_sizes(write: Write) -> None:
    text = DATA + '[[strategy]]\nname = "sequential"\n[model]\nsolver = "dual"\ntol = 1e-3\n'
    settings = load(write(text))
    assert load(write(settings.dumps())) == settings
    assert not {"learning_rate", "eta0", "power_t"} & tomllib.loads(settings.dumps())["model"].keys()


def test_labels_are_names_made_unique_around_those_that_are_given(write: Write) -> None:
    text = DATA + WP + WP + WP + '[[strategy]]\nname = "sequential"\nlabel = "wp-2"\n'
    assert [s.label for s in load(write(text)).strategies] == ["wp", "wp-3", "wp-4", "wp-2"]


# what is refused: a file's body after [data], and the line it gets

REFUSED = {
    "a key that is misspelt": (
        WP + "[model]\nalhpa = 1",
        "[model] alhpa: unknown key; did you mean 'alpha'? (allowed: loss, solver, alpha, learning_rate,"
        " eta0, power_t, w0, intercept, dtype, shuffle, block, seed, class_weight, tol)",
    ),
    "another penalty": (
        WP + '[model]\npenalty = "l1"',
        "[model] penalty: no key: the penalty is L2, of strength alpha; L1 and elastic net are out of scope",
    ),
    "a table that is misspelt": (
        WP + "[modle]",
        "modle: unknown table; did you mean 'model'? (allowed: data, model, machine, report, strategy,"
        " small)",
    ),
    "a choice that is misspelt": (
        WP + '[model]\nloss = "hinj"',
        '[model] loss = "hinj": must be one of "hinge", "squared_hinge", "log_loss", "modified_huber"'
        "; did you mean 'hinge'?",
    ),
    "a choice that is like none": (
        WP + '[model]\ndtype = "f"',
        '[model] dtype = "f": must be one of "float64", "float32"',
    ),
    "a sharding that is none": (
        'sharding = "shuffeld"\n' + WP,
        '[data] sharding = "shuffeld": must be one of "contiguous", "shuffled", "proportional", "replica"'
        ", \"label_skew\"; did you mean 'shuffled'?",
    ),
    "a rule that is none": (
        WP + 'rule = "step"',
        '[[strategy]] 1 (wp) rule = "step": must be one of "uniform", "wp", "steps", "shard",'
        ' "fednova", "asum", "diagonal", "tail", "inverse_variance"; did you mean \'steps\'?',
    ),
    "text for a number": (WP + '[model]\nalpha = "x"', '[model] alpha = "x": must be a number > 0'),
    "a truth value for a number": (WP + "[model]\neta0 = true", "[model] eta0 = true: must be a number > 0"),
    "a number for a truth value": (WP + "[model]\nshuffle = 1", "[model] shuffle = 1: must be true or false"),
    "a fraction for an integer": (WP + "[model]\nseed = 1.5", "[model] seed = 1.5: must be an integer >= 0"),
    "weights that are not finite": (WP + "[model]\nw0 = inf", "[model] w0 = inf: must be a finite number"),
    "a share that is all": (
        "test = 1.0\n" + WP,
        "[data] test = 1.0: must be a fraction between 0 and 1, a file, or false for none",
    ),
    "labels outside a list": (
        "positive = 3\n" + WP,
        "[data] positive = 3: must be a list of labels that count as +1, or [] for the larger of two",
    ),
    "a number for the base of indices": (
        "zero_based = 1\n" + WP,
        '[data] zero_based = 1: must be "auto", true or false',
    ),
    "no scale": ("scale = 0\n" + WP, "[data] scale = 0: must be a number > 0"),
    "negative periods": (
        '[[strategy]]\nname = "sequential"\n' + WP + "period = -5",
        '[[strategy]] 2 (wp) period = -5: must be "pass" or an integer >= 1',
    ),
    "periods in words": (
        WP + 'period = "epoch"',
        '[[strategy]] 1 (wp) period = "epoch": must be "pass" or an integer >= 1',
    ),
    "no rounds": (WP + "rounds = 0", "[[strategy]] 1 (wp) rounds = 0: must be an integer >= 1"),
    "a label no file can have": (
        WP + 'label = "a/b"',
        '[[strategy]] 1 (a/b) label = "a/b": must be letters, digits and _ . + -,'
        " beginning with a letter, a digit or _",
    ),
    "a label twice": (
        WP + 'label = "a"\n' + MINI + 'label = "a"',
        '[[strategy]] 2 (a) label = "a": must be unique, entry 1 has it too',
    ),
    "a strategy that is none": (
        '[[strategy]]\nname = "wpp"',
        f"[[strategy]] 1 name = \"wpp\": must be one of {NAMES}; did you mean 'wp'?",
    ),
    "a strategy without a name": (
        "[[strategy]]\nrounds = 1",
        f"[[strategy]] 1 name: missing, must be one of {NAMES}",
    ),
    "no strategy": ("", f"[[strategy]]: missing, must be at least one, with a name: one of {NAMES}"),
    "strategies in single brackets": (
        '[strategy]\nname = "wp"',
        "strategy: must be tables, each under a line [[strategy]]",
    ),
    "a key of another strategy": (WP + "batch = 3", "[[strategy]] 1 (wp) batch: only for minibatch"),
    "a key of several other strategies": (
        MINI + 'rule = "wp"',
        "[[strategy]] 1 (minibatch) rule: only for simuparallel, wp, average_directly, hybrid",
    ),
    "a key of another ending": (
        WP + "seconds_per_round = 1",
        '[[strategy]] 1 (wp) seconds_per_round: only with ending = "time", not with "race"',
    ),
    "counts of another ending": (
        WP + "counts = [[1]]",
        '[[strategy]] 1 (wp) counts: only with ending = "given", not with "race"',
    ),
    "a period of another ending": (
        WP + 'ending = "time"\nseconds_per_round = 1\nperiod = 3',
        '[[strategy]] 1 (wp) period: only with ending = "rows" or "race", not with "time"',
    ),
    "a time box without its time": (
        WP + 'ending = "time"',
        '[[strategy]] 1 (wp) seconds_per_round: missing, ending = "time" needs it',
    ),
    "given counts without counts": (
        WP + 'ending = "given"',
        '[[strategy]] 1 (wp) counts: missing, ending = "given" needs it',
    ),
    "counts for other rounds": (
        WP + 'ending = "given"\nrounds = 3\ncounts = [[1, 2], [3, 4]]',
        "[[strategy]] 1 (wp) counts: 2 lists for rounds = 3: must be one for each round",
    ),
    "counts for other ranks": (
        WP + 'ending = "given"\nrounds = 2\ncounts = [[1, 2], [3]]\n[machine]\nspeeds = [1, 0.5]',
        "[[strategy]] 1 (wp) counts = [3] in a round: must be one integer for each of 2 ranks",
    ),
    "negative counts": (
        WP + 'ending = "given"\nrounds = 1\ncounts = [[1, -2]]',
        "[[strategy]] 1 (wp) counts = [[1, -2]]: must be one list of rows per round,"
        " each with an integer >= 0 for every rank",
    ),
    "two kinds of batch": (
        MINI + "batch = 3\nglobal_batch = 9",
        "[[strategy]] 1 (minibatch) batch, global_batch: must be one of them, not both",
    ),
    "an empty batch": (
        MINI + "batch = [3, 0]",
        "[[strategy]] 1 (minibatch) batch = [3, 0]: must be an integer >= 1, or a list of them,"
        " one for each rank",
    ),
    "batches for other ranks": (
        MINI + "batch = [3, 1]\n[machine]\nranks = 3",
        "[[strategy]] 1 (minibatch) batch = [3, 1]: must be one integer for each of 3 ranks",
    ),
    "adagrad with wp": (
        WP + '[model]\nlearning_rate = "adagrad"',
        '[[strategy]] 1 (wp) rule = "wp": needs one step size for all coordinates,'
        ' [model] learning_rate = "adagrad" has one for each: choose another rule or learning_rate',
    ),
    "adagrad with effective steps": (
        WP + 'rule = "asum"\n[model]\nlearning_rate = "adagrad"',
        '[[strategy]] 1 (wp) rule = "asum": needs one step size for all coordinates,'
        ' [model] learning_rate = "adagrad" has one for each: choose another rule or learning_rate',
    ),
    "counterfactuals without looks": (
        WP + "[report]\ncounterfactual = true\nlooks = 0",
        "[report] counterfactual = true: happens at looks, looks = 0: must be at least 1",
    ),
    "counterfactuals without rules": (
        MINI + ALONE + "[report]\ncounterfactual = true",
        "[report] counterfactual = true: no [[strategy]] combines models by a rule: must be false, or one of"
        " simuparallel, wp, average_directly, hybrid among the strategies",
    ),
    "a counterfactual that is no flag": (
        WP + "[report]\ncounterfactual = 1",
        "[report] counterfactual = 1: must be true or false",
    ),
    "adagrad with sparse sums": (
        WP + 'rule = "uniform"\nwire = "sparse"\n[model]\nlearning_rate = "adagrad"',
        '[[strategy]] 1 (wp) wire = "sparse": needs one step size for all coordinates,'
        ' [model] learning_rate = "adagrad" has one for each: choose another wire or learning_rate',
    ),
    "an unknown wire": (
        WP + 'wire = "spares"',
        '[[strategy]] 1 (wp) wire = "spares": must be one of "auto", "dense", "sparse"; did you mean'
        " 'sparse'?",
    ),
    "sparse sums of averages": (
        WP + 'rule = "tail"\nwire = "sparse"',
        '[[strategy]] 1 (wp) rule = "tail": must be another with wire = "sparse", which needs'
        " coordinates that all decay alike where no row went",
    ),
    "sparse sums of late decay": (
        '[[strategy]]\nname = "hybrid"\nstale_decay = true\nwire = "sparse"\n'
        '[model]\nlearning_rate = "constant"',
        '[[strategy]] 1 (hybrid) wire = "sparse": must be another with stale_decay, which needs'
        " coordinates that all decay alike where no row went",
    ),
    "sparse sums of a dual": (
        WP + 'wire = "sparse"\n[model]\nsolver = "dual"\n[machine]\nranks = 1',
        '[[strategy]] 1 (wp) wire = "sparse": must be another with [model] solver = "dual", which needs'
        " coordinates that all decay alike where no row went",
    ),
    "wire of a strategy without sums of models": (
        '[[strategy]]\nname = "cocoa"\nwire = "sparse"',
        "[[strategy]] 1 (cocoa) wire: only for simuparallel, wp, average_directly, minibatch, hybrid",
    ),
    "adagrad with averages of iterates": (
        WP + 'rule = "tail"\n[model]\nlearning_rate = "adagrad"',
        '[[strategy]] 1 (wp) rule = "tail": needs one step size for all coordinates,'
        ' [model] learning_rate = "adagrad" has one for each: choose another rule or learning_rate',
    ),
    "a contraction of another rule": (
        WP + 'rule = "steps"\ncontraction = 0.5',
        '[[strategy]] 1 (wp) contraction: only with rule = "wp", not with "steps"',
    ),
    "effective steps of another rule": (
        WP + 'tau_eff = "max"',
        '[[strategy]] 1 (wp) tau_eff: only with rule = "fednova", not with "wp"',
    ),
    "effective steps of no kind": (
        WP + 'rule = "fednova"\ntau_eff = "maximum"',
        '[[strategy]] 1 (wp) tau_eff = "maximum": must be one of "mean", "max"; did you mean \'max\'?',
    ),
    "a contraction that is misspelt": (
        WP + 'contraction = "validatd"',
        f"[[strategy]] 1 (wp) contraction = \"validatd\": must be {CONTRACTIONS}; did you mean 'validated'?",
    ),
    "a contraction that expands": (
        WP + "contraction = 1.5",
        f"[[strategy]] 1 (wp) contraction = 1.5: must be {CONTRACTIONS}",
    ),
    "no contraction": (
        WP + "contraction = nan",
        f"[[strategy]] 1 (wp) contraction = nan: must be {CONTRACTIONS}",
    ),
    "a truth value for a contraction": (
        WP + "contraction = true",
        f"[[strategy]] 1 (wp) contraction = true: must be {CONTRACTIONS}",
    ),
    "a line search in words": (
        WP + 'line_search = "yes"',
        '[[strategy]] 1 (wp) line_search = "yes": must be true or false',
    ),
    "momentum without end": (
        WP + "outer_momentum = 1",
        "[[strategy]] 1 (wp) outer_momentum = 1: must be a number >= 0 and below 1",
    ),
    "an outer rate of nothing": (
        WP + "outer_rate = 0.0",
        "[[strategy]] 1 (wp) outer_rate = 0.0: must be a number above 0 and at most 100",
    ),
    "an outer rate beyond reason": (
        WP + "outer_rate = 1e300",
        "[[strategy]] 1 (wp) outer_rate = 1e+300: must be a number above 0 and at most 100",
    ),
    "an outer rate that is infinite": (
        WP + "outer_rate = inf",
        "[[strategy]] 1 (wp) outer_rate = inf: must be a number above 0 and at most 100",
    ),
    "a line search of a strategy that combines nothing": (
        MINI + "line_search = true",
        "[[strategy]] 1 (minibatch) line_search: only for simuparallel, wp, average_directly, hybrid",
    ),
    "a line search of the dual solver": (
        WP + 'line_search = true\n[model]\nsolver = "dual"',
        "[[strategy]] 1 (wp) line_search = true: no dual variables belong to the result:"
        ' not with solver = "dual"',
    ),
    "momentum of the dual solver": (
        WP + 'outer_momentum = 0.9\n[model]\nsolver = "dual"',
        "[[strategy]] 1 (wp) outer_momentum = 0.9: no dual variables belong to the result:"
        ' not with solver = "dual"',
    ),
    "averages of iterates of the dual solver": (
        WP + 'rule = "tail"\n[model]\nsolver = "dual"',
        '[[strategy]] 1 (wp) rule = "tail": no dual variables belong to the result: not with solver = "dual"',
    ),
    "adagrad with mini-batches": (
        MINI + '[model]\nlearning_rate = "adagrad"',
        '[[strategy]] 1 (minibatch) name = "minibatch": needs one step size for all coordinates,'
        ' [model] learning_rate = "adagrad" has one for each: choose another name or learning_rate',
    ),
    "a loss that the dual solver has not": (
        ALONE + '[model]\nsolver = "dual"\nloss = "log_loss"',
        '[model] loss = "log_loss": must be "hinge" or "squared_hinge" with solver = "dual"',
    ),
    "an unregularised intercept of the dual solver": (
        ALONE + '[model]\nsolver = "dual"\nintercept = "unregularised"',
        '[model] intercept = "unregularised": must be "off" or "column" with solver = "dual"',
    ),
    "a start of the dual solver": (
        ALONE + '[model]\nsolver = "dual"\nw0 = 4',
        '[model] w0 = 4: must be 0 with solver = "dual", whose dual variables start at 0',
    ),
    "step sizes of the dual solver": (
        ALONE + '[model]\nsolver = "dual"\nlearning_rate = "optimal"\neta0 = 1',
        '[model] learning_rate, eta0: must be left out with solver = "dual", which has no step sizes',
    ),
    "a tolerance of SGD": (
        ALONE + "[model]\ntol = 0.01",
        '[model] tol = 0.01: only with solver = "dual", whose duality gap it is',
    ),
    "a tolerance of nothing": (
        ALONE + '[model]\nsolver = "dual"\ntol = 0',
        '[model] tol = 0: must be a number above 0 and below 1, or "none"',
    ),
    "class weights in words": (
        WP + '[model]\nclass_weight = "balancd"',
        '[model] class_weight = "balancd": must be "balanced", "none" or {negative = ..., positive = ...},'
        " numbers > 0 and at most 1e6",
    ),
    "a class without weight": (
        WP + "[model]\nclass_weight = {negative = 1, positive = 0}",
        '[model] class_weight = {"negative": 1, "positive": 0}: must be "balanced", "none" or'
        " {negative = ..., positive = ...}, numbers > 0 and at most 1e6",
    ),
    "a class without end": (
        WP + "[model]\nclass_weight = {positive = inf}",
        '[model] class_weight = {"positive": Infinity}: must be "balanced", "none" or'
        " {negative = ..., positive = ...}, numbers > 0 and at most 1e6",
    ),
    "a class that is none": (
        WP + "[model]\nclass_weight = {postive = 2}",
        '[model] class_weight = {"postive": 2}: must be "balanced", "none" or'
        " {negative = ..., positive = ...}, numbers > 0 and at most 1e6",
    ),
    "averages of the dual solver": (
        WP + '[model]\nsolver = "dual"\n[machine]\nranks = 3',
        '[[strategy]] 1 (wp) name = "wp": averages the models of 3 nodes, and no dual variables belong to an'
        ' average: [model] solver = "dual" needs name = "sequential"',
    ),
    "gradient steps of the dual solver": (
        MINI + '[model]\nsolver = "dual"',
        '[[strategy]] 1 (minibatch) name = "minibatch": takes gradient steps: [model] solver = "dual" needs'
        ' name = "sequential"',
    ),
    "a loss that cocoa has no dual of": (
        COCOA + '[model]\nloss = "log_loss"',
        '[[strategy]] 1 (cocoa) [model] loss = "log_loss": must be "hinge" or "squared_hinge" with'
        ' name = "cocoa"',
    ),
    "an unregularised intercept of admm": (
        ADMM + '[model]\nintercept = "unregularised"',
        '[[strategy]] 1 (admm) [model] intercept = "unregularised": must be "off" or "column" with'
        ' name = "admm"',
    ),
    "a start of cocoa": (
        WP + COCOA + "[model]\nw0 = 4",
        '[[strategy]] 2 (cocoa) [model] w0 = 4: must be 0 with name = "cocoa", whose dual variables start'
        " at 0",
    ),
    "a variant that is none": (
        COCOA + 'variant = "ad"',
        '[[strategy]] 1 (cocoa) variant = "ad": must be one of "add", "average", "add_line_search"'
        "; did you mean 'add'?",
    ),
    "a sigma' that bounds nothing": (
        COCOA + 'variant = "add"\nsigma_prime = 0.9\n[machine]\nranks = 3',
        '[[strategy]] 1 (cocoa) sigma_prime = 0.9: must be at least 1 with variant = "add";'
        ' less is for variant = "add_line_search"',
    ),
    "a sigma' below that of an average": (
        COCOA + 'variant = "average"\nsigma_prime = 0.5\n[machine]\nranks = 3',
        '[[strategy]] 1 (cocoa) sigma_prime = 0.5: must be at least 1 with variant = "average";'
        ' less is for variant = "add_line_search"',
    ),
    "an endless sigma'": (
        COCOA + "sigma_prime = inf",
        "[[strategy]] 1 (cocoa) sigma_prime = inf: must be a number above 0 and at most 1e+09",
    ),
    "a relaxation that comes to no end": (
        COCOA + "relaxation = 2",
        "[[strategy]] 1 (cocoa) relaxation = 2: must be a number above 0 and below 2, 1 for exact steps",
    ),
    "a negative rho": (
        ADMM + "rho = -1",
        "[[strategy]] 1 (admm) rho = -1: must be a number from 1e-12 to 1e+12",
    ),
    "an over-relaxation that is none": (
        ADMM + "over_relaxation = 0.5",
        "[[strategy]] 1 (admm) over_relaxation = 0.5: must be a number from 1, for none, to below 2",
    ),
    "no passes": (ADMM + "passes = 0", "[[strategy]] 1 (admm) passes = 0: must be an integer from 1 to 1000"),
    "passes in a time box": (
        ADMM + 'passes = 2\nending = "time"\nseconds_per_round = 1',
        '[[strategy]] 1 (admm) passes: only with ending = "rows" or "race", not with "time"',
    ),
    "a solver that is none": (
        ALONE + '[model]\nsolver = "daul"',
        '[model] solver = "daul": must be one of "sgd", "dual"; did you mean \'dual\'?',
    ),
    "steps that overshoot": (
        WP + '[model]\nlearning_rate = "constant"\nalpha = 0.5\neta0 = 4',
        "[model] eta lambda = 2 at the first step of 'constant': must not exceed 1; lower eta0 or alpha",
    ),
    "steps that wipe": (
        WP + '[model]\nlearning_rate = "constant"\nalpha = 0.5\neta0 = 2',
        "[model] eta lambda = 1 with a constant step wipes the weights at every row: lower eta0 or alpha",
    ),
    "speeds for other ranks": (
        WP + "[machine]\nranks = 2\nspeeds = [1, 0.5, 1]",
        "[machine] 3 speeds for ranks = 2: must be one for each rank",
    ),
    "a speed above 1": (
        WP + "[machine]\nspeeds = [1, 2]",
        "[machine] speeds = [1, 2]: must be a list of numbers above 0 and at most 1, one for each rank",
    ),
    "no ranks": (WP + "[machine]\nranks = 0", "[machine] ranks = 0: must be an integer >= 1"),
    "no chunk": (WP + "[machine]\nchunk = 0", '[machine] chunk = 0: must be an integer >= 1 or "auto"'),
    "fewer looks than none": (WP + "[report]\nlooks = -1", "[report] looks = -1: must be an integer >= 0"),
    "a target in words": (
        WP + '[report]\ntarget = "best"',
        '[report] target = "best": must be a number or "none"',
    ),
    "checkpoints all the time": (
        WP + "[report]\ncheckpoint_seconds = 0",
        "[report] checkpoint_seconds = 0: must be a number > 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_gets_one_line(write: Write, case: str) -> None:
    body, line = REFUSED[case]
    path = write(DATA + body + "\n")
    assert refusal(lambda: load(path)) == f"x.toml: {line}"


def test_the_dual_solver_averages_on_one_node_and_on_no_more(write: Write) -> None:
    averaging, settings = entry(write, 'name = "wp"\n', '[model]\nsolver = "dual"\n')
    assert isinstance(averaging.program([600, 0], settings, 2), Averaging)
    message = refusal(lambda: averaging.program([300, 300], settings, 2))
    assert message.startswith('[[strategy]] wp: name = "wp": averages the models of 2 nodes, and no dual')


def test_cocoa_and_admm_are_what_their_entries_say(write: Write) -> None:
    keys = 'variant = "average"\nsigma_prime = 2\nrelaxation = 1.2\npasses = 4\nending = "race"\nperiod = 7\n'
    cocoa, settings = entry(write, 'name = "cocoa"\nrounds = 3\n' + keys)
    looks = Looks(20, 3)
    assert cocoa.program([4, 5], settings, 2) == Cocoa(3, Race(7), looks, "average", 2.0, 1.2, passes=4)
    for ending, length, passes in (
        ("race", "period", 3),
        ("rows", "period", 3),
        ("time", "seconds_per_round", 0),
    ):
        found, settings = entry(write, f'name = "cocoa"\nending = "{ending}"\n{length} = 12\n')
        program = found.program([4, 5], settings, 2)
        assert isinstance(program, Cocoa)
        assert program.passes == passes
    adding = entry(write, 'name = "cocoa"\nvariant = "add"\nsigma_prime = 2\n')[0]
    message = refusal(lambda: adding.program([1] * 3, settings, 3))
    assert message == (
        '[[strategy]] cocoa: sigma_prime = 2: must be at least 3 with variant = "add", where 3 threads of all'
        ' ranks hold rows; less is for variant = "add_line_search"'
    )
    assert adding.program([4, 0, 5], settings, 3)  # a rank without rows takes no part
    threaded = entry(write, 'name = "cocoa"\nvariant = "add"\nsigma_prime = 2\nthreads = 2\n')[0]
    assert threaded.program([9, 0, 0], settings, 3)
    assert "must be at least 3 " in refusal(lambda: threaded.program([1, 0, 5], settings, 3))
    admm, settings = entry(write, 'name = "admm"\nrounds = 3\nrho = 0.5\npasses = 4\nover_relaxation = 1.6\n')
    assert admm.program([4, 5], settings, 2) == Admm(3, ByRows(20), looks, 0.5, 1.6)
    plain, settings = entry(write, 'name = "cocoa"\nrounds = 3\n')
    assert plain.program([4, 5], settings, 2) == Cocoa(3, ByRows(5), looks)


def test_all_problems_of_a_file_are_told_at_once(write: Write) -> None:
    path = write('[data]\ntest = 2\n[report]\nlooks = "a"\n' + WP + "rounds = 0\nperiod = 0\n")
    assert refusal(lambda: load(path)).splitlines() == [
        "x.toml: [data] source: missing, must be a file, or the name of a data set",
        "x.toml: [data] test = 2: must be a fraction between 0 and 1, a file, or false for none",
        'x.toml: [report] looks = "a": must be an integer >= 0',
        "x.toml: [[strategy]] 1 (wp) rounds = 0: must be an integer >= 1",
        'x.toml: [[strategy]] 1 (wp) period = 0: must be "pass" or an integer >= 1',
    ]


def test_a_table_that_is_a_value_is_refused(write: Write) -> None:
    path = write("data = 5\n" + WP)
    assert refusal(lambda: load(path)) == "x.toml: [data] 5: must be a table"


def test_broken_toml_is_refused_with_line_and_column(write: Write) -> None:
    path = write("[data]\nsource = rows.svm\n")
    assert refusal(lambda: load(path)).startswith("x.toml: line 2, column 10: ")


def test_text_that_is_not_utf8_is_refused(write: Write) -> None:
    path = write("")
    path.write_bytes(b'a = "\xff"')
    assert refusal(lambda: load(path)) == "x.toml: byte 6 is not UTF-8 text"


def test_a_missing_file_is_told_with_its_neighbours_and_the_shipped_names(write: Write) -> None:
    write("")
    names = ", ".join(shipped())
    message = refusal(lambda: load("y.toml"))
    assert message == f"y.toml: no such file; did you mean 'x.toml'?; in .: x.toml; shipped: {names}"
    assert "did you mean 'quickstart'?" in refusal(lambda: load("quikstart"))
    Path("folder").mkdir()
    assert refusal(lambda: load("folder")).startswith("folder: is a folder, must be a TOML file")


# --set, --strategies, --data


def test_overrides_change_what_they_name(write: Write) -> None:
    path = write(DATA + WP + WP + MINI)
    settings = load(
        path,
        overrides=[
            "model.alpha=1e-5",
            "strategy.*.rounds=5",
            "strategy.wp.period=7",
            "strategy.wp-2.rule=steps",
            "strategy.minibatch.batch=[1, 2]",
            "machine.speeds=[1, 0.5]",
            "data.test=false",
        ],
    )
    first, second, mini = settings.strategies
    assert settings.model.alpha == 1e-5
    assert [s.rounds for s in settings.strategies] == [5, 5, 5]
    assert [s.period for s in settings.strategies] == [7, 7, "pass"]  # both entries are named wp
    assert [first.values()["rule"], second.values()["rule"]] == ["wp", "steps"]
    assert mini.values()["batch"] == [1, 2]
    assert settings.machine.speeds == (1.0, 0.5)
    assert settings.data.test is None


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("model.alpha", "must be TABLE.KEY=VALUE or strategy.LABEL.KEY=VALUE"),
        ("alpha=1", "must be TABLE.KEY=VALUE or strategy.LABEL.KEY=VALUE"),
        ("strategy.rounds=1", "must be TABLE.KEY=VALUE or strategy.LABEL.KEY=VALUE"),
        (
            "modle.alpha=1",
            "no table 'modle'; did you mean 'model'? (allowed: data, model, machine, report, strategy)",
        ),
        ("strategy.wpp.rounds=1", "no strategy 'wpp'; did you mean 'wp'? (allowed: wp, *)"),
        ("machine.speeds=[1,", "[1, is not a TOML value"),
        ("model.alpha=", "nothing is not a TOML value"),
        ("model.alpha=-1", "[model] alpha = -1: must be a number > 0"),
        ("strategy.wp.rounds=x", '[[strategy]] 1 (wp) rounds = "x": must be an integer >= 1'),
    ],
)
def test_an_override_that_cannot_be_meant_is_named(write: Write, override: str, line: str) -> None:
    path = write(DATA + WP)
    assert refusal(lambda: load(path, overrides=[override])) == f"--set {override}: {line}"


def test_only_the_strategies_asked_for_are_kept_in_the_files_order(write: Write) -> None:
    path = write(DATA + WP + MINI + WP)
    assert [s.label for s in load(path, strategies=["wp-2", "minibatch"]).strategies] == ["minibatch", "wp-2"]
    message = refusal(lambda: load(path, strategies=["minibach"]))
    assert message == "no strategy 'minibach'; did you mean 'minibatch'? (allowed: wp, minibatch, wp-2)"


def test_a_source_takes_the_place_of_the_files(write: Write) -> None:
    assert load(write(DATA + WP), source="other.svm").data.source == "other.svm"
    assert load(write(WP), source="other.svm").data.source == "other.svm"


# shipped files


@pytest.mark.parametrize("name", ["quickstart", "small"])
def test_shipped_experiments_load_by_name(name: str) -> None:
    settings = load(name)
    assert name in shipped()
    assert settings == load(shipped()[name])
    assert settings.machine.known_ranks == len(settings.machine.speeds)


def test_the_quickstart_compares_the_papers_strategies_on_unequal_machines() -> None:
    settings = load("quickstart")
    assert [s.name for s in settings.strategies] == [
        "sequential",
        "simuparallel",
        "wp",
        "average_directly",
        "minibatch",
    ]
    assert settings.machine.speeds == (0.1, 0.05, 0.025, 0.025)


def test_every_shipped_file_can_be_read() -> None:
    assert all(load(path) for path in shipped().values())
    assert all(load_cluster(path) for path in shipped(clusters=True).values())


# settings as objects


def test_the_objective_is_that_of_the_file(write: Write) -> None:
    model = '[model]\nloss = "log_loss"\nalpha = 0.01\nw0 = 2\n'
    model += 'learning_rate = "invscaling"\neta0 = 0.5\npower_t = 0.25\n'
    step = StepSize("invscaling", 0.01, 0.5, 0.25)
    settings = load(write(DATA + WP + model + 'intercept = "unregularised"\n'))
    assert settings.step == step
    assert settings.objective() == Objective("log_loss", step, 2.0, intercept=True)
    column = load(write(DATA + WP + '[model]\nintercept = "column"\n'))
    assert not column.objective().intercept


PERIODS = st.one_of(st.just("pass"), st.integers(1, 10**12))
POSITIVE = st.floats(1e-9, 1e9)


@st.composite
def entries(draw: st.DrawFn, ranks: int) -> dict[str, Any]:
    name = draw(st.sampled_from([*KINDS]))
    rounds = draw(st.integers(1, 4))
    values: dict[str, Any] = {"name": name, "rounds": rounds}
    if draw(st.booleans()):
        values["period"] = draw(PERIODS)
    if name == "minibatch":
        one = st.integers(1, 99)
        many = st.lists(one, min_size=ranks, max_size=ranks)
        values |= draw(
            st.one_of(
                st.fixed_dictionaries({"batch": st.one_of(one, many)}),
                st.fixed_dictionaries({"global_batch": one}),
            )
        )
        values["wire"] = draw(st.sampled_from(WIRES))
    if name == "cocoa":
        sigma = {"add": ranks, "average": 1.0}.get(variant := draw(st.sampled_from(VARIANTS)), 0.1)
        values |= {"variant": variant, "sigma_prime": draw(st.floats(sigma, 99.0)), "relaxation": 1.5}
    if (name in DEFAULTS or name in ("cocoa", "admm")) and draw(st.booleans()):
        ending = draw(st.sampled_from(["rows", "race", "time", "given"]))
        values |= {"ending": ending}
        if name in DEFAULTS:
            values |= draw(combinations(name))
        if ending in ("time", "given"):
            values.pop("period", None)
        if ending == "time":
            values["seconds_per_round"] = draw(POSITIVE)
        if ending == "given":
            row = st.lists(st.integers(0, 9), min_size=ranks, max_size=ranks)
            values["counts"] = draw(st.lists(row, min_size=rounds, max_size=rounds))
    return values


@st.composite
def combinations(draw: st.DrawFn, name: str) -> dict[str, Any]:
    rule = draw(st.sampled_from([*RULES]))
    values: dict[str, Any] = {"rule": rule, "line_search": draw(st.booleans())}
    values["outer_momentum"] = draw(st.floats(0.0, 0.99))
    if name == "hybrid" and rule in ("tail", "diagonal"):
        values["delay"] = 0  # these need plain nodes
    wires = ["auto", "dense"] if rule in ("tail", "diagonal") else ["auto", "dense", "sparse"]
    values["wire"] = draw(st.sampled_from(wires))
    if rule == "wp":
        values["contraction"] = draw(st.one_of(st.sampled_from(["R^2", "validated"]), st.floats(0.1, 1.0)))
    if rule == "fednova":
        values["tau_eff"] = draw(st.sampled_from(["mean", "max"]))
    return values


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Any]:
    ranks = draw(st.integers(1, 3))
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    strategies = draw(st.lists(entries(ranks), min_size=1, max_size=4))
    start = 0.0 if any(entry["name"] in ("cocoa", "admm") for entry in strategies) else draw(st.floats(-9, 9))
    return {
        "data": {
            "source": draw(text),
            "test": draw(st.one_of(st.just(False), st.floats(0.01, 0.99), text)),
            "positive": draw(st.lists(st.floats(-9, 9), max_size=2)),
            "zero_based": draw(st.sampled_from(["auto", True, False])),
            "sharding": draw(st.sampled_from(SHARDINGS)),
            "cache": draw(st.booleans()),
        },
        "model": {"alpha": draw(st.floats(1e-9, 1e-2)), "w0": start, "eta0": 0.5},
        "machine": {"ranks": ranks, "speeds": [0.5] * draw(st.sampled_from([0, ranks]))},
        "report": {"looks": draw(st.integers(0, 99)), "target": draw(st.one_of(st.just("none"), POSITIVE))},
        "strategy": strategies,
    }


@given(raw=experiments())
def test_settings_written_out_load_back_to_equal_settings(
    raw: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # TOML spells these values like JSON, except for tables
    def lines(table: dict[str, Any]) -> str:
        return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())

    path = tmp_path_factory.mktemp("config") / "x.toml"
    tables = "".join(f"[{name}]\n{lines(raw[name])}" for name in ("data", "model", "machine", "report"))
    path.write_text(tables + "".join(f"[[strategy]]\n{lines(s)}" for s in raw["strategy"]), encoding="utf-8")
    settings = load(path)
    path.write_text(settings.dumps(), encoding="utf-8")
    assert load(path) == settings
    written = tomllib.loads(settings.dumps())
    for given_values, kept in zip(raw["strategy"], written["strategy"], strict=True):
        assert given_values.items() <= kept.items()
    assert raw["data"].items() <= written["data"].items()


def _toml(value: Any) -> str:
    text = json.dumps(value)
    # TOML has code points where JSON has surrogates, and escapes the delete character
    return (
        json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else text
    )


def test_digests_hold_what_decides_a_result_and_nothing_else(write: Write) -> None:
    def digest(*overrides: str, label: str = "wp", text: str = DATA + WP + MINI, ranks: int = 2) -> Any:
        return load(write(text), overrides=overrides).digest(label, ranks)

    usual = digest()
    assert json.loads(json.dumps(usual)) == usual
    harmless = ["report.looks=3", "machine.chunk=7", "strategy.minibatch.rounds=3", "machine.speeds=[1, 0.5]"]
    assert all(digest(override) == usual for override in harmless)
    sparse = digest("strategy.minibatch.wire=sparse", label="minibatch")
    assert sparse == digest("strategy.minibatch.wire=dense", label="minibatch") != usual
    assert digest("strategy.wp.label=mine", label="mine") == usual
    decisive = [
        "data.source=b",
        "data.test=false",
        "model.seed=1",
        "strategy.wp.period=3",
        "strategy.wp.rounds=3",
    ]
    assert all(digest(override) != usual for override in decisive)
    assert digest(ranks=3) != usual


def test_speeds_decide_a_result_where_rows_are_shared_out_by_speed(write: Write) -> None:
    def speeds(label: str, *overrides: str) -> Any:
        text = DATA + WP + MINI + "global_batch = 8\n[machine]\nspeeds = [1, 0.5]\n"
        return load(write(text), overrides=overrides).digest(label, 2)["speeds"]

    assert speeds("wp") == []
    assert speeds("minibatch") == [1.0, 0.5]
    assert speeds("wp", "data.sharding=proportional") == [1.0, 0.5]


# what a strategy's entry becomes


def test_sequential_has_all_rows_on_the_first_rank_and_passes_like_the_others(write: Write) -> None:
    sequential, settings = entry(write, 'name = "sequential"\n')
    shards = sequential.shards(10, 3, settings)
    assert [shard.tolist() for shard in shards] == [[*range(10)], [], []]
    # the largest of three shards of ten rows has four
    assert sequential.program([10, 0, 0], settings, 3) == Sequential(10, 4, Looks(20, 10))
    sequential, settings = entry(
        write, 'name = "sequential"\nperiod = 3\nrounds = 2\n', "[report]\nlooks = 0\n"
    )
    assert sequential.program([10, 0, 0], settings, 3) == Sequential(2, 3, Looks(0, 2))


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_shards_are_those_of_the_sharding_with_the_models_seed(write: Write, sharding: str) -> None:
    rest = "[machine]\nspeeds = [1, 0.5, 0.25]\n[model]\nseed = 5\n"
    wp, settings = entry(write, 'name = "wp"\n', rest)
    settings = load(write(settings.dumps()), overrides=[f"data.sharding={sharding}"])
    labels = np.where(np.arange(20) % 3, -1.0, 1.0)
    expected = shard(sharding, 20, 3, (1.0, 0.5, 0.25), 5, labels=labels)
    found = wp.shards(20, 3, settings, labels=labels)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert sum(len(rows) for rows in found) == (60 if sharding == "replica" else 20)


def test_the_skew_of_labels_is_a_key_of_its_sharding(write: Write) -> None:
    skewed = load(write(DATA + 'sharding = "label_skew"\nskew = 0.9\n' + WP))
    assert load(write(skewed.dumps())) == skewed
    labels = np.repeat([-1.0, 1.0], 10)
    expected = shard("label_skew", 20, 3, seed=0, labels=labels, skew=0.9)
    found = skewed.strategies[0].shards(20, 3, skewed, labels=labels)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    # memory is foretold from sizes alone
    assert [*map(len, skewed.strategies[0].shards(20, 3, skewed))] == [*map(len, found)]
    assert refusal(lambda: load(write(DATA + "skew = 0.9\n" + WP))) == (
        'x.toml: [data] skew = 0.9: only with sharding = "label_skew"'
    )
    beyond = refusal(lambda: load(write(DATA + 'sharding = "label_skew"\nskew = 2\n' + WP)))
    assert beyond == "x.toml: [data] skew = 2: must be a number from 0 to 1"


def test_paths_are_looked_for_from_the_working_folder_and_then_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    for folder, names in ((study, ("a.svm", "t.svm", "w.txt", "part-1")), (elsewhere, ("a.svm",))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text("1 1:1\n")
    keys = 'source = "a.svm"\ntest = "t.svm"\nweights = "w.txt"\n'
    file = study / "x.toml"
    file.write_text(f'[data]\n{keys}{WP}[small]\ndata.source = "part-*"\n')
    monkeypatch.chdir(elsewhere)
    data = load(file).data
    assert (data.source, data.test, data.weights) == ("a.svm", str(study / "t.svm"), str(study / "w.txt"))
    assert load(file, small=True).data.source == str(study / "part-*")
    # what is typed is meant from where it is typed
    assert load(file, source="t.svm").data.source == "t.svm"
    assert load(file, overrides=["data.test=w.txt"]).data.test == "w.txt"
    monkeypatch.chdir(study)
    assert load(file).data.test == "t.svm"
    # what is nowhere stays as it is, to be named so; and the catalogue comes first
    (study / "real-sim-twin").write_text("1 1:1\n")
    monkeypatch.chdir(elsewhere)
    for name in ("absent.svm", "$UNSET_PLACE/a.svm", "real-sim-twin", "-"):
        file.write_text(f'[data]\nsource = "{name}"\n{WP}')
        assert load(file).data.source == name
    monkeypatch.setenv("SOME_PLACE", "study")
    monkeypatch.chdir(tmp_path)
    file.write_text(f'[data]\nsource = "$SOME_PLACE/a.svm"\n{WP}')
    assert load(file).data.source == "$SOME_PLACE/a.svm"


def test_shards_by_speed_need_speeds(write: Write) -> None:
    wp, settings = entry(write, 'name = "wp"\n')
    settings = load(write(settings.dumps()), overrides=["data.sharding=proportional"])
    line = '[data] sharding = "proportional" needs [machine] speeds, one for each of 2 ranks: none given'
    assert refusal(lambda: wp.shards(9, 2, settings)) == line
    assert [len(rows) for rows in wp.shards(9, 2, settings, speeds=[1.0, 0.5])] == [6, 3]


@pytest.mark.parametrize(
    ("keys", "ending", "rule"),
    [
        ('name = "simuparallel"', ByRows(6), "uniform"),
        ('name = "wp"', Race(6), "wp"),
        ('name = "average_directly"', Race(6), "uniform"),
        ('name = "average_directly"\nperiod = 9\nrule = "shard"', Race(9), "shard"),
        ('name = "simuparallel"\nending = "race"', Race(6), "uniform"),
        ('name = "wp"\nending = "rows"\nperiod = 2', ByRows(2), "wp"),
        ('name = "wp"\nending = "time"\nseconds_per_round = 2', TimeBox(2.0), "wp"),
        ('name = "wp"\nending = "given"\ncounts = [[1, 2], [3, 4], [5, 6], [7, 0]]', None, "wp"),
    ],
)
def test_averaging_strategies_are_their_ending_and_rule(
    write: Write, keys: str, ending: Any, rule: str
) -> None:
    wp, settings = entry(write, keys + "\nrounds = 4\n", "[report]\nlooks = 8\n")
    ending = ending or Given(((1, 2), (3, 4), (5, 6), (7, 0)))
    expected = Averaging(4, ending, RULES[rule], settings.step, (4, 6), Looks(8, 4))
    assert wp.program([4, 6], settings, 2) == expected


@pytest.mark.parametrize(
    ("keys", "rule", "refined"),
    [
        ("", RULES["wp"], (False, Outer())),
        ('contraction = "R^3"', wp_with("R^3"), (False, Outer())),
        ("contraction = 0.9\nline_search = true", wp_with(0.9), (True, Outer())),
        ("contraction = 1", wp_with(1.0), (False, Outer())),
        ('contraction = "validated"\nouter_momentum = 0.5', wp_with("validated"), (False, Outer(0.5))),
        ('rule = "fednova"\ntau_eff = "max"', fednova_with("max"), (False, Outer())),
        ('rule = "fednova"\nouter_rate = 0.7', RULES["fednova"], (False, Outer(0.0, 0.7))),
    ],
)
def test_an_entry_says_how_models_become_one(write: Write, keys: str, rule: Rule, refined: Any) -> None:
    wp, settings = entry(write, f'name = "wp"\nrounds = 4\n{keys}\n')
    facts = (settings.step, (4, 6), Looks(20, 4))
    assert wp.program([4, 6], settings, 2) == Averaging(4, Race(6), rule, *facts, *refined)
    assert wp.judges_models == ("validated" in keys or "line_search" in keys)
    assert load(write(settings.dumps())) == settings
    given = tomllib.loads(keys)
    assert given.items() <= wp.values().items()


@pytest.mark.parametrize("rule", RULES)
def test_an_entry_knows_the_learner_of_its_rule(write: Write, rule: str) -> None:
    wp, _ = entry(write, f'name = "wp"\nrule = "{rule}"\n')
    assert wp.learner is {"tail": TailLearner, "diagonal": SquaresLearner}.get(rule, SGDLearner)
    assert not wp.judges_models
    assert entry(write, 'name = "minibatch"\n')[0].learner is SGDLearner


def test_counts_are_for_the_ranks_that_run(write: Write) -> None:
    wp, settings = entry(write, 'name = "wp"\nending = "given"\nrounds = 1\ncounts = [[1, 2]]\n')
    line = "[[strategy]] wp: counts = [1, 2] in a round: must be one integer for each of 3 ranks"
    assert refusal(lambda: wp.program([1, 1, 1], settings, 3)) == line


@pytest.mark.parametrize(
    ("keys", "speeds", "batches", "updates"),
    [
        ("", (), (32, 32, 32), 3),  # 100 rows in batches of 32
        ("batch = 8", (), (8, 8, 8), 12),
        ("batch = [8, 2, 1]", (), (8, 2, 1), 12),
        ("batch = 8\nperiod = 3", (), (8, 8, 8), 1),
        ("global_batch = 30", (), (10, 10, 10), 10),
        ("global_batch = 14", (1.0, 0.5, 0.25), (8, 4, 2), 12),
    ],
)
def test_minibatches_are_dealt_to_nodes(
    write: Write, keys: str, speeds: tuple[float, ...], batches: tuple[int, ...], updates: int
) -> None:
    mini, settings = entry(write, f'name = "minibatch"\n{keys}\n')
    program = mini.program([100, 99, 98], settings, 3, speeds)
    assert program == MiniBatch(10, updates, batches, Looks(20, 10))


def test_a_global_batch_goes_to_nodes_that_hold_rows(write: Write) -> None:
    mini, settings = entry(write, 'name = "minibatch"\nglobal_batch = 5\n')
    assert mini.program([1, 1, 0], settings, 3).batches == (3, 2, 0)
    line = "[machine] speeds: 2 given, must be one for each of 3 ranks"
    assert refusal(lambda: mini.program([1, 1, 0], settings, 3, (1.0, 0.5))) == line


# clusters


def test_a_cluster_is_its_nodes_and_its_link(write: Write) -> None:
    nodes = "[[node]]\nseconds_per_row = 1e-6\n"
    more = '[[node]]\ncount = 2\nseconds_per_row = 2\nservice = "jittered"\nspread = 0.5\n'
    slow = RowCost(2.0, "jittered", 0.5)
    assert load_cluster(write(nodes)) == Cluster((RowCost(1e-6),), Link(0.0, math.inf))
    path = write("[link]\nlatency = 1e-3\nbandwidth = 5\n" + nodes + more)
    assert load_cluster(path) == Cluster((RowCost(1e-6), slow, slow), Link(1e-3, 5.0))


def test_the_shipped_cluster_has_four_unequal_nodes() -> None:
    cluster = load_cluster("cluster-four-unequal")
    fastest = cluster.nodes[0].seconds
    assert [fastest / node.seconds for node in cluster.nodes] == [1.0, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "[[node]]: missing, must be at least one, with seconds_per_row"),
        ("[node]\n", "node: must be tables, each under a line [[node]]"),
        ("[[node]]\n", "[[node]] 1 seconds_per_row: missing, must be a number of seconds > 0"),
        (
            "[[node]]\nseconds_per_row = 1\nspeed = 2\n",
            "[[node]] 1 speed: unknown key; did you mean 'spread'?"
            " (allowed: count, seconds_per_row, service, spread)",
        ),
        (
            '[[node]]\nseconds_per_row = 1\nservice = "fix"\n',
            '[[node]] 1 service = "fix": must be one of "fixed", "jittered", "exponential",'
            " \"shifted_exponential\"; did you mean 'fixed'?",
        ),
        (
            "[[node]]\nseconds_per_row = 1\nspread = 2\n",
            "[[node]] 1 spread = 2: must be a number from 0 to 1, a share of the mean",
        ),
        (
            "[link]\nlatency = -1\n[[node]]\nseconds_per_row = 1\n",
            "[link] latency = -1: must be a number of seconds >= 0",
        ),
        (
            "[link]\nbandwidth = 0\n[[node]]\nseconds_per_row = 1\n",
            "[link] bandwidth = 0: must be a number of bytes per second > 0",
        ),
        (
            "[links]\n[[node]]\nseconds_per_row = 1\n",
            "links: unknown table; did you mean 'link'? (allowed: link, node)",
        ),
    ],
)
def test_a_cluster_that_cannot_be_meant_gets_one_line(write: Write, text: str, line: str) -> None:
    path = write(text)
    assert refusal(lambda: load_cluster(path)) == f"x.toml: {line}"


def test_a_missing_cluster_is_told_with_the_shipped_ones(write: Write) -> None:
    message = refusal(lambda: load_cluster("cluster-for-unequal"))
    assert "did you mean 'cluster-four-unequal'?" in message
    assert "quickstart" not in message
