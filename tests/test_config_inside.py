"""The keys of an experiment file that say what goes on inside a node: what they become, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wpsgd.config import Settings, load
from wpsgd.config.strategies import KINDS
from wpsgd.errors import ConfigError
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import InNode
from wpsgd.reducers import RoundFacts, late_wp, wp
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.delay import Delay
from wpsgd.strategies.hybrid import Hybrid
from wpsgd.strategies.patterns import ByRows, Looks, Race
from wpsgd.strategies.sequential import Sequential
from wpsgd.theory import delayed_contraction

ROUND_BASED = tuple(KINDS)
STALE = "delay = 4\nstale_decay = true\n"
STEPS_OF_ONE_SIZE = '[model]\nlearning_rate = "constant"\nalpha = {}\neta0 = 0.5\n'


def settings_of(folder: Path, strategy: str, rest: str = "") -> Settings:
    path = folder / "x.toml"
    path.write_text(f'[data]\nsource = "rows.svm"\n[[strategy]]\n{strategy}\n{rest}\n')
    return load(path)


def entry(folder: Path, strategy: str, rest: str = "") -> Any:
    return settings_of(folder, strategy, rest).strategies[0]


@pytest.mark.parametrize("name", ROUND_BASED)
def test_threads_are_a_key_of_every_strategy_in_rounds(tmp_path: Path, name: str) -> None:
    assert entry(tmp_path, f'name = "{name}"\nthreads = 3').inside == InNode(threads=3)
    late = name in ("delay", "hybrid")
    assert entry(tmp_path, f'name = "{name}"').inside == (InNode(delay=1) if late else InNode())


def test_late_gradients_are_what_the_file_asks_for(tmp_path: Path) -> None:
    assert entry(tmp_path, 'name = "hybrid"\ndelay = 7\nrange_check = true').inside == InNode(7, 1, True)
    assert entry(tmp_path, 'name = "delay"\ndelay = 0').inside == InNode()
    stale = entry(tmp_path, f'name = "delay"\n{STALE}', STEPS_OF_ONE_SIZE.format(1e-3))
    assert stale.inside == InNode(4, stale_decay=True)


def test_the_hybrid_is_a_race_of_1000_rows_with_the_weights_of_wp(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 'name = "hybrid"\nrange_check = true')
    found = settings.strategies[0].program([4, 6], settings, 2)
    assert found == Hybrid(10, Race(1000), wp, settings.step, (4, 6), Looks(20, 10), range_check=True)


def test_the_hybrid_ends_its_rounds_like_any_average(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 'name = "hybrid"\nending = "rows"\nrule = "steps"\nperiod = "pass"')
    found = settings.strategies[0].program([4, 6], settings, 2)
    assert isinstance(found, Averaging)
    assert found.ending == ByRows(6)
    with pytest.raises(ConfigError, match=r"counts = \[1\] in a round: must be one integer for each of 2"):
        settings_of(
            tmp_path,
            'name = "hybrid"\nending = "given"\nrounds = 1\ncounts = [[1]]',
            "[machine]\nranks = 2",
        )


def test_delay_is_sequential_with_late_gradients(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 'name = "delay"\nperiod = 30\nrounds = 3')
    found = settings.strategies[0].program([10, 0], settings, 2)
    assert found == Delay(3, 30, Looks(20, 3))
    assert isinstance(found, Sequential)
    assert [len(shard) for shard in settings.strategies[0].shards(10, 2, settings)] == [10, 0]


def test_late_decay_weighs_by_the_root_that_is_its_contraction(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f'name = "hybrid"\n{STALE}', STEPS_OF_ONE_SIZE.format(0.1))
    program: Any = settings.strategies[0].program([6, 6], settings, 2)
    facts = RoundFacts((90, 50, 0), 400, settings.step, (6, 6, 6))
    r = delayed_contraction(0.05, 4)
    expected = np.array([1.0, r**40, 0.0])
    np.testing.assert_allclose(program.rule(facts).omega, expected / expected.sum(), rtol=1e-12)
    # late decay contracts faster than fresh decay: R would weigh the slow nodes too much
    assert program.rule(facts).omega[1] < wp(facts).omega[1]
    uniform = settings_of(
        tmp_path, f'name = "hybrid"\nrule = "uniform"\n{STALE}', STEPS_OF_ONE_SIZE.format(0.1)
    )
    assert uniform.strategies[0].program([6], uniform, 1).rule is not program.rule  # type: ignore[attr-defined]


def test_late_decay_without_delay_weighs_like_wp() -> None:
    facts = RoundFacts((90, 50, 0), 400, StepSize("constant", 0.01, 0.5), (6, 6, 6))
    np.testing.assert_allclose(late_wp(np.log1p(-0.005))(facts).omega, wp(facts).omega, rtol=1e-12)


REFUSED = {
    "no threads": ('name = "wp"\nthreads = 0', "", "threads = 0: must be an integer from 1 to 1024"),
    "threads without end": (
        'name = "wp"\nthreads = 100000',
        "",
        "threads = 100000: must be an integer from 1 to 1024",
    ),
    "a negative delay": (
        'name = "hybrid"\ndelay = -1',
        "",
        "delay = -1: must be an integer from 0 to 1000000",
    ),
    "a delay that is no number": (
        'name = "hybrid"\ndelay = nan',
        "",
        "delay = nan: must be an integer from 0 to 1000000",
    ),
    "a delay of another strategy": ('name = "wp"\ndelay = 2', "", "delay: only for delay, hybrid"),
    "a rule that does not know late decay": (
        f'name = "hybrid"\nrule = "asum"\n{STALE}',
        STEPS_OF_ONE_SIZE.format(0.1),
        'stale_decay = true: of the rules that look at the contraction only rule = "wp" with contraction ='
        ' "theory" knows that of late decay',
    ),
    "a delay beside threads": (
        'name = "hybrid"\ndelay = 2\nthreads = 2',
        "",
        "delay = 2: only with threads = 1, which the ring buffer of late gradients is for",
    ),
    "a range check beside threads": (
        'name = "hybrid"\nrange_check = true\nthreads = 2',
        "",
        "range_check = true: only with threads = 1, which the ring buffer of late gradients is for",
    ),
    "a range check of late decay": (
        'name = "hybrid"\nrange_check = true\nstale_decay = true',
        STEPS_OF_ONE_SIZE.format(1e-3),
        "range_check, stale_decay: must be one of them, its fixed point is of fresh decay",
    ),
    "late decay that would not fit": (
        'name = "delay"\nstale_decay = true\ndelay = 1001',
        STEPS_OF_ONE_SIZE.format(1e-9),
        "delay = 1001: must be at most 1000 with stale_decay, which keeps a whole vector for each step",
    ),
    "late decay past its bound": (
        f'name = "hybrid"\n{STALE}',
        STEPS_OF_ONE_SIZE.format(0.2),
        "stale_decay = true: eta lambda = 0.1 with delay = 4: must be at most 0.08192 ="
        " delay^delay / (delay + 1)^(delay + 1); lower [model] eta0, alpha or the delay",
    ),
    "late decay of shrinking steps": (
        f'name = "hybrid"\n{STALE}',
        "",
        "stale_decay = true: has a contraction only for steps of one size: needs [model] learning_rate ="
        ' "constant", not "optimal"',
    ),
    "a range check with an intercept": (
        'name = "hybrid"\nrange_check = true',
        '[model]\nintercept = "unregularised"',
        'range_check = true: its fixed point has no intercept: [model] intercept must be "off" or "column"',
    ),
    "late gradients of adagrad": (
        'name = "hybrid"\nrule = "uniform"',
        '[model]\nlearning_rate = "adagrad"',
        'delay = 1: needs one step size for all coordinates, [model] learning_rate = "adagrad" has one for'
        " each: choose another learning_rate",
    ),
    "threads of adagrad": (
        'name = "sequential"\nthreads = 2',
        '[model]\nlearning_rate = "adagrad"',
        'threads = 2: needs one step size for all coordinates, [model] learning_rate = "adagrad" has one for'
        " each: choose another learning_rate",
    ),
    "threads of the dual solver": (
        'name = "sequential"\nthreads = 2',
        '[model]\nsolver = "dual"',
        'threads = 2: only with [model] solver = "sgd"',
    ),
    "late gradients of the dual solver": (
        'name = "delay"',
        '[model]\nsolver = "dual"',
        'delay = 1: only with [model] solver = "sgd"',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_learner_can_do_gets_one_line_when_the_file_is_read(tmp_path: Path, case: str) -> None:
    strategy, rest, line = REFUSED[case]
    with pytest.raises(ConfigError) as refusal:
        settings_of(tmp_path, strategy, rest)
    name = strategy.split('"')[1]
    assert str(refusal.value) == f"{tmp_path / 'x.toml'}: [[strategy]] 1 ({name}) {line}"


def test_late_decay_at_its_bound_is_taken(tmp_path: Path) -> None:
    settings_of(tmp_path, f'name = "hybrid"\n{STALE}', STEPS_OF_ONE_SIZE.format(2 * 4**4 / 5**5))


def test_settings_of_late_gradients_load_back(tmp_path: Path) -> None:
    for strategy in ('name = "hybrid"\ndelay = 5\nrange_check = true', 'name = "delay"\nthreads = 2'):
        settings = settings_of(tmp_path, strategy)
        (tmp_path / "y.toml").write_text(settings.dumps())
        assert load(tmp_path / "y.toml") == settings


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "log_loss", "modified_huber"])
def test_range_checks_are_for_every_loss(tmp_path: Path, loss: str) -> None:
    checked = entry(tmp_path, 'name = "hybrid"\nrange_check = true', f'[model]\nloss = "{loss}"')
    assert checked.inside == InNode(1, 1, True)
