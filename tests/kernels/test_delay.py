"""Tests of the delayed passes against their dense twins."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_delay import checked_delay_sgd, delay_sgd
from numpy.typing import NDArray
from scipy.optimize import brentq
from test_sgd import ALPHA, close, epochs, run, sizes_of, some_rows, steps

from wpsgd.data.rows import Rows
from wpsgd.kernels.delay import ABANDONED, APPLIED, PENDING, delayed_pass, stale_decay_pass
from wpsgd.kernels.limit import REACH
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.stepsize import Schedule
from wpsgd.learners.sgd import NOTHING, kernel_arrays
from wpsgd.theory import delay_bound

DELAYS = (0, 1, 2, 7, 500)
PRECISIONS = [(np.float64, 1e-10), (np.float32, 2e-4)]

KEPT = (NOTHING, NOTHING, NOTHING)


def reach(tau: int) -> float:
    """What learners allow a row's own step, so many steps late."""
    return min(REACH, delay_bound(tau))


class Pass:
    """The state that a delayed pass carries from call to call."""

    def __init__(
        self, rows: Rows, w0: Any, tau: int, *, loss: str = "hinge", intercept: bool = False
    ) -> None:
        self.rows, self.loss, self.rate = rows, LOSSES[loss], 0.01 if intercept else 0.0
        self.w = np.array(np.broadcast_to(w0, rows.features), dtype=rows.values.dtype)
        self.carry, self.ring = np.array([1.0, 0.0]), np.zeros(4, np.int64)
        self.ring_rows, self.ring_pulls = np.zeros(tau + 1, np.int64), np.zeros(tau + 1)

    def take(
        self, order: Any, etas: Any, *, checked: bool = False, ahead: int = 0, alpha: float = ALPHA
    ) -> int:
        ring = (self.ring_rows, self.ring_pulls, self.ring)
        settings = (
            alpha,
            self.loss,
            reach(len(self.ring_rows) - 1),
            self.rate,
            ahead,
            2 * ahead,
            checked,
            KEPT,
        )
        return delayed_pass(self.w, self.carry, *ring, *kernel_arrays(self.rows), order, etas, *settings)

    def bits(self) -> list[bytes]:
        return [part.tobytes() for part in vars(self).values() if isinstance(part, np.ndarray)]

    @property
    def weights(self) -> NDArray[np.float64]:
        return self.carry[0] * self.w.astype(np.float64)


@pytest.mark.parametrize("tau", DELAYS)
@pytest.mark.parametrize("schedule", ["constant", "pegasos"])
@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_a_delayed_pass_equals_its_dense_twin(
    dtype: Any, tolerance: float, loss: str, schedule: Schedule, tau: int
) -> None:
    rows = some_rows(weighted=True, dtype=dtype)
    order, data = epochs(rows), naive.dense(rows)
    # pegasos as it is after its first steps: late gradients times these explode
    late = 50 if schedule == "pegasos" else 0
    etas = np.array(sizes_of(steps(schedule), order.size + late)[late:])
    found = Pass(rows, 1.0, tau, loss=loss, intercept=True)
    assert found.take(order, etas) == order.size
    applied = max(0, order.size - tau)
    twin = delay_sgd(
        data, order[:applied], etas[:applied], np.ones(30), tau, loss=loss, alpha=ALPHA, intercept=True
    )
    assert found.ring[PENDING] == order.size - applied
    assert found.ring[APPLIED] == applied
    assert close(found.weights, twin.w[-1], tolerance)
    assert found.carry[1] == pytest.approx(twin.b[-1], rel=tolerance, abs=tolerance)
    assert close(data.x @ found.weights, data.x @ twin.w[-1], tolerance)


@pytest.mark.parametrize("tau", [1, 4])
def test_every_pull_in_the_ring_is_that_of_the_margin_of_its_time(tau: int) -> None:
    # log_loss: its pull tells the margin; the weights alone would not show a margin that is a little wrong
    rows = some_rows(weighted=True)
    order, etas, data = epochs(rows, 1), np.full(80, 0.6), naive.dense(rows)
    twin = delay_sgd(data, order, etas, np.ones(30), tau, loss="log_loss", alpha=ALPHA, intercept=True)
    found = Pass(rows, 1.0, tau, loss="log_loss", intercept=True)
    for taken in range(order.size):
        place = (found.ring[0] + found.ring[PENDING]) % (tau + 1)
        found.take(order[taken : taken + 1], etas[max(0, taken - tau) :][:1])
        expected = -naive.slope_at("log_loss", twin.margins[taken])
        assert found.ring_rows[place] == order[taken]
        assert found.ring_pulls[place] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize("schedule", naive.SCHEDULES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_without_delay_the_pass_is_that_of_sgd_bit_for_bit(dtype: Any, schedule: Schedule, loss: str) -> None:
    rows = some_rows(weighted=True, dtype=dtype)
    order = epochs(rows)
    etas = np.array(sizes_of(steps(schedule), order.size))
    w, carry, _ = run(rows, order, steps(schedule), 4.0, loss=loss, intercept=True)
    found = Pass(rows, 4.0, 0, loss=loss, intercept=True)
    found.take(order, etas)
    assert found.w.tobytes() == w.tobytes()
    assert found.carry.tobytes() == carry.tobytes()


@given(
    cuts=st.lists(st.integers(0, 160), max_size=6),
    tau=st.integers(0, 30),
    seed=st.integers(0, 5),
    checked=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_delayed_pass_cut_into_chunks_gives_the_same_bits(
    cuts: list[int], tau: int, seed: int, checked: bool
) -> None:
    rows = some_rows(weighted=True, seed=seed)
    order, etas = epochs(rows, 2), np.array(sizes_of(steps("optimal"), 160))
    whole, split = Pass(rows, 0.5, tau, intercept=True), Pass(rows, 0.5, tau, intercept=True)
    whole.take(order, etas, checked=checked)
    for piece in np.split(order, sorted(cuts)):
        split.take(piece, etas[split.ring[APPLIED] :], checked=checked)
    assert split.bits() == whole.bits()


@pytest.mark.parametrize("ahead", [1, 1000])
def test_asking_for_memory_early_changes_no_bit_of_a_delayed_pass(ahead: int) -> None:
    rows = some_rows()
    order, etas = epochs(rows, 2), np.array(sizes_of(steps("optimal"), 160))
    late, early = Pass(rows, 1.0, 5), Pass(rows, 1.0, 5)
    late.take(order, etas)
    early.take(order, etas, ahead=ahead)
    assert early.bits() == late.bits()


def test_a_delayed_pass_stops_before_the_row_whose_margin_is_not_finite() -> None:
    rows = some_rows()
    order, etas = np.arange(80), np.full(80, 0.5)
    found = Pass(rows, 1.0, 3)
    found.take(order[:20], etas)
    found.w[:] = np.inf
    assert found.take(order[20:], etas) == 0
    assert found.ring[PENDING] == 3


# range checks


def fixed_point(loss: str, strength: float) -> float:
    """Where a row repeated alone comes to rest: the decay takes m as far as the loss pulls it back."""
    if strength == 0.0:
        return 0.0
    if loss == "hinge":
        return min(1.0, strength)
    return float(brentq(lambda m: m + strength * naive.slope_at(loss, m), 0.0, 1.0 + strength, rtol=1e-14))


@given(
    tau=st.integers(0, 8),
    seed=st.integers(0, 5),
    eta_lambda=st.floats(1e-4, 0.5),
    alpha=st.floats(0.01, 20.0),
    start=st.floats(-3.0, 3.0),
    weighted=st.booleans(),
    loss=st.sampled_from(naive.LOSSES),
)
@settings(max_examples=100, deadline=None)
def test_no_checked_update_carries_its_row_across_its_fixed_point(
    tau: int, seed: int, eta_lambda: float, alpha: float, start: float, weighted: bool, loss: str
) -> None:
    rows = some_rows(weighted=weighted, seed=seed)
    data, eta = naive.dense(rows), eta_lambda / alpha
    found = Pass(rows, start, tau, loss=loss)
    for i in epochs(rows, 2):
        # the row that leaves the ring, should this one fill it, and what it does
        leaving = found.ring_rows[found.ring[0]] if found.ring[PENDING] == tau and tau else i
        before, applied = found.weights, found.ring[APPLIED]
        found.take(np.array([i]), np.array([eta]), checked=True, alpha=alpha)
        if found.ring[APPLIED] == applied:
            assert np.array_equal(found.weights, before)  # an abandoned row changes nothing, decay included
            continue
        x, y, s = data.x[leaving], data.y[leaving], data.s[leaving]
        margin, moved = y * (before @ x), y * (found.weights @ x)
        size = naive.own_step(loss, eta, s, x, late=tau, decay=1.0 - eta_lambda)
        fixed = fixed_point(loss, size / eta * s * (x @ x) / alpha)
        pulled = not np.allclose(found.weights, (1.0 - eta_lambda) * before, rtol=1e-12, atol=0.0)
        if pulled:
            assert (margin - fixed) * (moved - fixed) >= -2e-6 * fixed * abs(margin - fixed) - 1e-12
    left = found.ring[APPLIED] + found.ring[ABANDONED] + found.ring[PENDING]
    assert left == 2 * len(rows)


def uneven(rows: Rows) -> Rows:
    """The same rows, some of them a hundred times as long as others."""
    lengths = np.exp(np.random.default_rng(0).normal(0.0, 1.5, (len(rows), 1)))
    return Rows.from_scipy(rows.to_scipy().multiply(lengths).tocsr(), rows.labels, rows.weights)


@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tau", [0, 1, 6])
def test_checked_updates_are_those_of_the_dense_twin(tau: int, weighted: bool, loss: str) -> None:
    rows = uneven(some_rows(weighted=weighted))
    # smooth losses rarely carry a row across: where the decay is strong, and others' steps have moved it
    eta, alpha = (0.15, ALPHA) if loss == "hinge" else (1.0, 0.5)
    data, order = naive.dense(rows), epochs(rows, 12)
    found = Pass(rows, 0.3, tau, loss=loss)
    found.take(order, np.full(order.size, eta), checked=True, alpha=alpha)
    steps, abandoned = int(found.ring[APPLIED]), int(found.ring[ABANDONED])
    twin = checked_delay_sgd(data, order, eta, np.full(30, 0.3), tau, steps, alpha, loss, fixed_point)
    assert steps > 20
    # under smooth losses fresh gradients end at rest, and steps that are six late are too short
    if loss == "hinge" or tau == 1:
        assert abandoned > (20 if loss == "hinge" else 4)
    # the rows behind the last one applied may have been abandoned too
    assert abandoned - 5 <= twin.applied.count(False) <= abandoned
    assert close(found.weights, twin.w, 1e-10)


def test_unit_rows_may_step_right_onto_their_fixed_point() -> None:
    # at eta = 1 a first step from 0 takes the margin to ||x||^2, which is 1 but for rounding
    rows = some_rows().astype(np.float32)
    norms = np.sqrt(np.square(naive.dense(rows).x).sum(axis=1))
    inside = [i for i in range(80) if norms[i] > 0.0]
    values = np.concatenate([rows.values[rows.indptr[i] : rows.indptr[i + 1]] / norms[i] for i in inside])
    for i, row in zip(inside, np.split(values, np.cumsum(np.diff(rows.indptr)[inside])[:-1]), strict=True):
        single = Rows(
            np.array([0, len(row)]),
            rows.indices[rows.indptr[i] : rows.indptr[i + 1]],
            row.astype(np.float32),
            rows.labels[i : i + 1],
            30,
        )
        found = Pass(single, 0.0, 0)
        found.take(np.array([0]), np.array([1.0]), checked=True, alpha=1e-9)
        assert found.ring[APPLIED] == 1


# decay as late as the gradients


@pytest.mark.parametrize("tau", [0, 1, 3, 200])
@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_a_pass_with_late_decay_equals_its_dense_twin(
    dtype: Any, tolerance: float, loss: str, tau: int
) -> None:
    rows = some_rows(weighted=True, dtype=dtype)
    order, etas = epochs(rows, 2), np.full(160, 0.2)
    history, place = np.ones((tau + 1, 31), dtype), np.zeros(1, np.int64)
    history[:, 30] = 0.0
    for piece in np.split(order, [3, 90]):
        assert stale_decay_pass(
            history, place, *kernel_arrays(rows), piece, etas, ALPHA, LOSSES[loss], reach(tau), 0.01, KEPT
        ) == len(piece)
    twin = delay_sgd(
        naive.dense(rows),
        order,
        etas,
        np.ones(30),
        tau,
        loss=loss,
        alpha=ALPHA,
        intercept=True,
        stale_decay=True,
    )
    assert close(history[place[0]], twin.vector, tolerance)


def test_late_decay_alone_contracts_by_the_root_that_theory_gives() -> None:
    from wpsgd.theory import delayed_contraction

    rows, tau, eta = some_rows(), 4, 0.05 / ALPHA
    idle = Rows(np.zeros(2, np.int64), rows.indices[:0], rows.values[:0], rows.labels[:1], 30)
    history, place = np.ones((tau + 1, 31)), np.zeros(1, np.int64)
    settings = (np.full(200, eta), ALPHA, LOSSES["hinge"], 1.0, 0.0, KEPT)
    stale_decay_pass(history, place, *kernel_arrays(idle), np.zeros(200, np.int64), *settings)
    ratio = history[place[0], 0] / history[place[0] - 1, 0]
    assert ratio == pytest.approx(delayed_contraction(0.05, tau), rel=1e-9)
