"""Summaries, tables, figures of a trace: against numbers worked out by hand, against one another."""

from __future__ import annotations

import io
import json
import math
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from wpsgd.errors import ConfigError, WPSGDError
from wpsgd.report import (
    Summary,
    counterfactual,
    counterfactual_table,
    curves,
    figures,
    slow_rank_lines,
    style,
    summarise,
    table,
    timeline,
    weights,
)
from wpsgd.report.summaries import by_strategy, of_kind
from wpsgd.report.words import decimal, percent, short
from wpsgd.trace import Event, Recorder

SPEEDS = (1.0, 0.5, 0.25, 0.25)
RATE = 100_000  # rows per second at speed 1
ROWS = 400_000


class Ranks:
    """A synthetic run: recorders with a clock each, which are told what to do."""

    def __init__(self, strategy: str, seed: int) -> None:
        self.strategy = strategy
        self.noise = random.Random(seed)
        self.recorders = [Recorder(rank) for rank in range(len(SPEEDS))]
        self.clocks = [0.0] * len(SPEEDS)

    def spend(self, rank: int, activity: Any, seconds: float, rows: int = 0, nbytes: int = 0) -> None:
        start = self.clocks[rank]
        self.clocks[rank] += seconds
        self.recorders[rank].span(activity, start, self.clocks[rank], rows, nbytes)

    def compute(self, rank: int, rows: int) -> None:
        self.spend(rank, "compute", rows / RATE / SPEEDS[rank] * self.noise.uniform(0.98, 1.02), rows)

    def meet(self, seconds: float) -> None:
        latest = max(self.clocks)
        for rank in range(len(SPEEDS)):
            self.spend(rank, "wait", latest - self.clocks[rank])
            self.spend(rank, "communication", seconds, nbytes=80_000)

    def combine(self, number: int, weights: list[float]) -> None:
        counts = [recorder.totals.rows for recorder in self.recorders]
        effective = 1 / sum(weight * weight for weight in weights)
        self.recorders[0].report(
            "round",
            round=number,
            seconds=self.clocks[0],
            counts=counts,
            weights=weights,
            effective_nodes=effective,
        )

    def look(self, number: int, rows: int, floor: float, pace: float) -> None:
        objective = floor + 1.9 * math.exp(-rows / pace) + 0.0003 * self.noise.random()
        self.recorders[0].report(
            "look",
            round=number,
            seconds=self.clocks[0],
            rows=rows,
            objective=objective,
            test_objective=objective * 1.03,
            accuracy=0.975 - 0.3 * (objective - floor),
        )

    def close(self) -> list[Event]:
        for rank, recorder in enumerate(self.recorders):
            recorder.totals.cpu = recorder.totals.compute * SPEEDS[rank]
            recorder.close(host=f"node{rank // 2}", speed=SPEEDS[rank], seconds=self.clocks[rank])
        return [{**event, "strategy": self.strategy} for each in self.recorders for event in each.events]


def sequential() -> list[Event]:
    """Rank 0 works on all rows, the others have nothing to do."""
    run = Ranks("sequential", 1)
    for number in range(21):
        run.look(number, number * ROWS // 20, 0.070, 40_000)
        if number < 20:
            for _ in range(10):
                run.compute(0, ROWS // 200)
    return run.close()


def simuparallel() -> list[Event]:
    """Equal rows everywhere, one meeting at the end: the fast wait for the slow."""
    run = Ranks("simuparallel", 2)
    run.look(0, 0, 0.072, 40_000)
    for rank in range(len(SPEEDS)):
        for _ in range(50):
            run.compute(rank, ROWS // 4 // 50)
    run.meet(0.02)
    run.combine(1, [0.25] * 4)
    run.look(1, ROWS // 4, 0.072, 22_000)
    return run.close()


def race(strategy: str, weights: list[float], pace: float, jitter: float = 0.0) -> list[Event]:
    """Rounds that end when the fastest is done: everybody computes equally long."""
    run = Ranks(strategy, len(strategy))
    run.look(0, 0, 0.0703, pace)
    for number in range(1, 21):
        for rank, speed in enumerate(SPEEDS):
            for _ in range(4):
                run.compute(rank, int(ROWS // 80 // 4 * speed * run.noise.uniform(0.97, 1)))
        run.meet(0.002)
        drift = [weight * run.noise.uniform(1 - jitter, 1 + jitter) for weight in weights]
        run.combine(number, [weight / sum(drift) for weight in drift])
        run.look(number, number * ROWS // 80, 0.0703, pace)
    return run.close()


def minibatch() -> list[Event]:
    """A meeting after every batch: thousands of spans far narrower than a pixel."""
    run = Ranks("minibatch", 5)
    run.look(0, 0, 0.0705, 20_000)
    for number in range(1, 1501):
        for rank in range(len(SPEEDS)):
            run.compute(rank, 64)
        run.meet(0.0008)
        if number % 75 == 0:
            run.combine(number, [0.25] * 4)
            run.look(number, number * 64, 0.0705, 20_000)
    return run.close()


def comparison() -> list[Event]:
    """Five strategies on four ranks of unequal speed, twenty looks each where there are rounds."""
    wp = race("wp", [0.62, 0.22, 0.08, 0.08], 10_000, jitter=0.07)
    averaged = race("average_directly", [0.25] * 4, 17_000)
    return sequential() + simuparallel() + wp + averaged + minibatch()


HEADER = {"kind": "header", "format": 1, "data": "data/real-sim"}
NAMES = ["objective_seconds", "objective_rows", "timeline", "weights"]


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return comparison()


@pytest.fixture(scope="module")
def summaries(events: list[Event]) -> dict[str, Summary]:
    return {summary.name: summary for summary in summarise(events)}


def a_look(strategy: str, seconds: float, objective: float | None, rows: int = 0) -> Event:
    return {
        "kind": "look",
        "rank": 0,
        "strategy": strategy,
        "round": 0,
        "seconds": seconds,
        "rows": rows,
        "objective": objective,
        "test_objective": None,
        "accuracy": 0.5,
    }


def the_totals(rank: int, rows: int, compute: float, wait: float, speed: float | None = None) -> Event:
    return {
        "kind": "totals",
        "rank": rank,
        "strategy": "a",
        "host": f"node{rank}",
        "speed": speed,
        "rows": rows,
        "compute": compute,
        "wait": wait,
        "communication": 1.0,
        "bytes": 10 * rank,
        "cpu": compute / 2,
        "seconds": compute + wait + 1,
    }


def a_round(number: int, omega: Sequence[float]) -> Event:
    return {"kind": "round", "rank": 0, "strategy": "a", "round": number, "seconds": 1.0, "weights": omega}


def a_span(activity: str, start: float, end: float) -> Event:
    return {"kind": "span", "rank": 0, "strategy": "a", "activity": activity, "start": start, "end": end}


def test_rows_per_second_are_those_of_training() -> None:
    plain, judging = the_totals(0, 100, 2.0, 0.0), the_totals(1, 100, 5.0, 0.0) | {"judging": 3.0}
    (summary,) = summarise([plain, judging])
    assert [rank.rows_per_second for rank in summary.per_rank] == [50.0, 50.0]
    assert summary.per_rank[1].compute == 5.0


def sentence(*totals: Event) -> str:
    return slow_rank_lines(summarise(totals))[0]


def printed(summaries: Sequence[Summary], width: int = 140) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table(summaries))
    return out.getvalue()


def heights(line: Any) -> list[float]:
    return [float(height) for height in line.get_ydata()]


def draw(module: Any, events: list[Event]) -> Figure:
    figure = module(by_strategy(events), summarise(events), "")
    assert isinstance(figure, Figure)
    return figure


# Summaries


def test_a_summary_agrees_with_numbers_worked_out_by_hand() -> None:
    ranks = [the_totals(0, 400, 2, 7), the_totals(1, 100, 4, 5), the_totals(2, 300, 3, 0)]
    looks = [a_look("a", 0, 9.0), a_look("a", 5, 0.5)]
    rounds = [a_round(1, [0.2, 0.3, 0.5]), a_round(2, [0.5, 0.25, 0.25])]
    (summary,) = summarise([*looks, *rounds, *ranks], target=1.0)
    assert (summary.seconds, summary.target_seconds, summary.objective) == (10, 5, 0.5)
    assert (summary.rows, summary.total_rows) == (400, 800)
    assert summary.weights == (0.5, 0.25, 0.25)
    assert summary.effective_nodes == pytest.approx(8 / 3)
    assert summary.waiting_share == pytest.approx(12 / 24)
    assert [rank.rows_per_second for rank in summary.per_rank] == [200, 25, 100]
    assert (summary.slowest_rank, summary.waited) == (1, 7)
    assert (summary.accuracy, summary.test_objective) == (0.5, None)


def test_totals_are_the_sums_of_the_spans(events: list[Event], summaries: dict[str, Summary]) -> None:
    sums = defaultdict[tuple[str, int, str], float](float)
    for span in of_kind(events, "span"):
        sums[span["strategy"], span["rank"], span["activity"]] += span["end"] - span["start"]
    for name, summary in summaries.items():
        for rank in summary.per_rank:
            spent = {key: getattr(rank, key) for key in ("compute", "wait", "communication")}
            assert spent == pytest.approx({key: sums[name, rank.rank, key] for key in spent})
    assert summaries["minibatch"].total_rows == 1500 * 64 * 4


def test_strategies_keep_the_order_in_which_they_appear(summaries: dict[str, Summary]) -> None:
    assert list(summaries) == ["sequential", "simuparallel", "wp", "average_directly", "minibatch"]


def test_without_a_target_it_is_one_per_cent_above_the_best_end() -> None:
    looks = [a_look("a", 0, 0.1), a_look("a", 1, 2.0), a_look("b", 0, 2.1), a_look("b", 3, 2.02)]
    first, second = summarise(looks)
    assert first.target == second.target == pytest.approx(2.02)
    assert (first.target_seconds, second.target_seconds) == (0, 3)


def test_target_seconds_are_those_of_a_look_never_between_looks() -> None:
    looks = [a_look("a", 0, 1.0), a_look("a", 10, 0.0), a_look("a", 20, 1.0)]
    assert [summarise(looks, target=target)[0].target_seconds for target in (0.5, 1.0, -1.0)] == [10, 0, None]


def test_the_waiting_share_of_a_race_is_small_where_equal_rows_cost_a_third(
    summaries: dict[str, Summary],
) -> None:
    assert summaries["wp"].waiting_share == pytest.approx(0, abs=0.02)
    # 1 s, 2 s, 4 s, 4 s of work: the others wait 3 s + 2 s + 0 s of 4 x 4 s
    assert summaries["simuparallel"].waiting_share == pytest.approx(5 / 16, abs=0.01)


def test_ranks_without_rows_have_no_speed(summaries: dict[str, Summary]) -> None:
    ranks = summaries["sequential"].per_rank
    assert [rank.rows_per_second is None for rank in ranks] == [False, True, True, True]
    assert summaries["sequential"].slowest_rank == 0


@pytest.mark.parametrize("objective", [math.nan, math.inf, None])
def test_an_objective_that_is_not_finite_sets_no_target(objective: float | None) -> None:
    looks = [a_look("bad", 0, 0.2), a_look("bad", 1, objective), a_look("good", 0, 1.0)]
    assert [summary.target for summary in summarise(looks)] == [pytest.approx(1.01)] * 2
    assert summarise(looks[1:2])[0].target is None


def test_a_run_that_was_cut_short_lasts_until_its_last_look() -> None:
    (summary,) = summarise([a_look("a", 3, 0.1), a_look("a", 4, 0.1)])
    assert (summary.seconds, summary.per_rank, summary.waiting_share) == (4, (), None)
    assert slow_rank_lines([summary]) == ["a: the trace has no totals of its ranks."]


def test_a_summary_can_be_written_as_json(summaries: dict[str, Summary]) -> None:
    summary = summaries["wp"]
    back = json.loads(json.dumps(asdict(summary)))
    assert back["per_rank"][3]["speed"] == 0.25
    assert back["weights"] == list(summary.weights or ())


def test_a_target_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="target: nan"):
        summarise([], target=math.nan)


# Sentences


def test_the_slow_rank_and_its_cost_are_told_in_a_sentence() -> None:
    assert sentence(the_totals(0, 400, 2, 6), the_totals(1, 400, 8, 0, speed=0.25)) == (
        "a: rank 1 (node1) was slowest at 25 % of the fastest rank's rows per second (emulated speed 0.25); "
        "the others waited 6.00 node-seconds for it (33 % of all node time)."
    )


def test_where_nobody_waited_the_sentence_says_so() -> None:
    assert sentence(the_totals(0, 400, 8, 0), the_totals(1, 200, 8, 3)).endswith("; nobody waited for it.")
    line = sentence(the_totals(0, 400, 8, 0.01), the_totals(1, 200, 8, 0))
    assert line.endswith("the others waited next to nothing, 0.0100 node-seconds (0.056 % of all node time).")


def test_a_slow_rank_that_waited_longer_is_not_blamed() -> None:
    line = sentence(the_totals(0, 400, 4, 2), the_totals(1, 200, 4, 5))
    assert "for it" not in line
    assert "but it waited as well: 5.00 s" in line


def test_a_rank_that_worked_alone_is_not_called_slow() -> None:
    alone = the_totals(0, 400, 4, 0)
    assert sentence(alone) == "a: rank 0 (node0) alone did rows; there is no other rank to wait for it."
    assert "the other 2 ranks were idle for 7.00 node-seconds" in sentence(
        alone, the_totals(1, 0, 0, 3), the_totals(2, 0, 0, 4)
    )
    assert sentence(the_totals(0, 0, 0, 0)) == "a: no rank did any rows."


# Tables


def test_the_table_shows_each_strategy_with_its_numbers(summaries: dict[str, Summary]) -> None:
    lines = printed(list(summaries.values())).splitlines()
    (line,) = [line for line in lines if line.startswith("simuparallel")]
    rates = " ".join(short(rank.rows_per_second) for rank in summaries["simuparallel"].per_rank)
    assert rates in line
    assert line.split()[-3:] == ["31", "%", "4.00"]
    (idle,) = [line for line in lines if line.startswith("sequential")]
    assert "100k - - -" in idle


def test_the_table_calls_emulated_speeds_emulated(summaries: dict[str, Summary]) -> None:
    assert "Emulated speeds: rank 1 x0.5, ranks 2-3 x0.25" in printed([summaries["wp"]])
    assert "mulated" not in printed(summarise([the_totals(0, 1, 1, 0), the_totals(1, 1, 1, 0)]))


def test_at_eighty_columns_no_cell_is_cut_off(summaries: dict[str, Summary]) -> None:
    text = printed(list(summaries.values()), width=80)
    assert "\u2026" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "effective" in text


def test_a_label_in_square_brackets_survives_the_table() -> None:
    assert "wp [red]" in printed(summarise([a_look("wp [red]", 0, 1.0)]))


def test_many_ranks_are_shown_as_a_range() -> None:
    ranks = [the_totals(rank, 100 * (rank + 1), 1, 0, speed=(0.5, 0.25)[rank % 2]) for rank in range(18)]
    text = printed(summarise(ranks))
    assert "100 to 1.80k (18 ranks)" in text
    assert "Emulated speeds: 9 ranks x0.5, 9 ranks x0.25" in text
    assert "ranks 0+2 x0.5" in printed(summarise([ranks[0], ranks[2]]))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (decimal(4.0), "4.00"),
        (decimal(99.96), "100"),
        (decimal(1234.4), "1,234"),
        (decimal(0.07123, 4), "0.07123"),
        (decimal(0.0), "0"),
        (decimal(math.inf), "inf"),
        (decimal(None), "-"),
        (short(64), "64"),
        (short(999.9), "1.00k"),
        (short(1.25e6), "1.25M"),
        (percent(0.0), "0 %"),
        (percent(0.0001), "<0.1 %"),
        (percent(0.0537), "5.4 %"),
        (percent(0.3125), "31 %"),
        (percent(None), "-"),
    ],
)
def test_numbers_are_written_as_a_reader_expects(written: str, expected: str) -> None:
    assert written == expected


# Figures


def test_each_figure_is_written_as_png_and_svg(events: list[Event], tmp_path: Path) -> None:
    paths = figures(events, tmp_path / "new" / "folder", header=HEADER)
    assert [path.name for path in paths] == [name + suffix for name in NAMES for suffix in (".png", ".svg")]
    assert all(path.read_bytes().startswith((b"\x89PNG", b"<?xml")) for path in paths)


def test_the_same_trace_gives_the_same_bytes(events: list[Event], tmp_path: Path) -> None:
    some = [event for event in events if event["strategy"] in ("wp", "simuparallel")]
    first, second = figures(some, tmp_path / "first"), figures(some, tmp_path / "second")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_what_the_trace_does_not_hold_is_not_drawn(events: list[Event], tmp_path: Path) -> None:
    def drawn(*kinds: str) -> list[str]:
        kept = [event for event in events if event["kind"] in kinds and event["strategy"] == "wp"]
        return [path.stem for path in figures(kept, tmp_path) if path.suffix == ".svg"]

    assert drawn() == []
    assert drawn("look") == NAMES[:2]
    assert drawn("span") == ["timeline"]
    assert drawn("round", "totals") == ["weights"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(WPSGDError, match=r"taken: figures cannot be written there \(File exists\)"):
        figures([a_look("a", 0, 1.0)], tmp_path / "taken")


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures([a_look("a", 0, 1.0)], tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_importing_the_report_imports_no_matplotlib() -> None:
    code = "import sys, wpsgd.report; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Curves


def test_the_objective_is_logarithmic_beyond_a_decade_only() -> None:
    wide = draw(curves.against_seconds, [a_look("a", 0, 11.0), a_look("a", 1, 1.0)])
    narrow = draw(curves.against_seconds, [a_look("a", 0, 9.0), a_look("a", 1, 1.0)])
    negative = draw(curves.against_seconds, [a_look("a", 0, 9.0), a_look("a", 1, -1.0)])
    scales = [figure.axes[0].get_yscale() for figure in (wide, narrow, negative)]
    assert scales == ["log", "linear", "linear"]


def test_the_legend_lists_lines_in_the_order_in_which_they_end(events: list[Event]) -> None:
    legend = draw(curves.against_seconds, events).axes[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:-1] == ["simuparallel", "minibatch", "average_directly", "wp", "sequential"]
    assert labels[-1].startswith("target 0.07")


def test_the_title_says_who_is_first() -> None:
    looks = [a_look("a", 3, 1.0, rows=10), a_look("b", 2, 1.0, rows=2_000)]
    assert "b is first at the target, after 2.00 s" in draw(curves.against_seconds, looks).get_suptitle()
    assert "a needs the fewest to the target, 10" in draw(curves.against_rows, looks).get_suptitle()


def test_objectives_that_are_not_finite_leave_a_gap_with_a_remark() -> None:
    looks = [a_look("b", 0, 1.0), a_look("c", 0, None), a_look("a", 0, 2.0), a_look("a", 1, math.nan)]
    axes = draw(curves.against_seconds, looks).axes[0]
    legend = axes.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["c (no objective)", "a (ends not finite)", "b", "target 1.010"]
    first, second = heights(axes.get_lines()[2])
    assert first == 2.0
    assert math.isnan(second)


# Timelines


def test_merging_keeps_the_seconds_of_each_activity_in_few_bars(events: list[Event]) -> None:
    spans = [event for event in of_kind(by_strategy(events)["minibatch"], "span") if event["rank"] == 0]
    bars = timeline.merged(spans, width=5.0)
    assert len(spans) > 4_000
    assert len(bars) <= 3 * 51
    before, after = defaultdict[str, float](float), defaultdict[str, float](float)
    for span in spans:
        before[span["activity"]] += span["end"] - span["start"]
    for bar in bars:
        after[bar.activity] += bar.length * bar.share
    assert dict(after) == pytest.approx(dict(before))


def test_a_stack_of_merged_spans_fills_the_time_they_took() -> None:
    spans = [
        a_span("compute", 0, 6),
        a_span("wait", 6, 8),
        a_span("communication", 8, 9),
        a_span("compute", 9, 10),
    ]
    bars = timeline.merged(spans, width=10_000)
    assert [(bar.activity, bar.start, bar.length) for bar in bars] == [
        ("compute", 0, 10),
        ("wait", 0, 10),
        ("communication", 0, 10),
    ]
    assert [(bar.bottom, bar.share) for bar in bars] == [
        pytest.approx((0, 0.7)),
        pytest.approx((0.7, 0.2)),
        pytest.approx((0.9, 0.1)),
    ]


def test_wide_spans_are_drawn_as_they_are_in_the_order_of_time() -> None:
    spans = [a_span("wait", 5, 9), a_span("compute", 0, 4), a_span("communication", 4, 4.001)]
    assert timeline.merged(spans, width=10) == [
        timeline.Bar("compute", 0, 4),
        timeline.Bar("communication", 4, 4.001 - 4, 0, 1),
        timeline.Bar("wait", 5, 4),
    ]


def test_all_panels_share_one_scale_with_emulated_speeds_at_the_ranks(events: list[Event]) -> None:
    figure = draw(timeline.draw, events)
    assert len(figure.axes) == 5
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    labels = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert labels == ["rank 0"] + [f"rank {rank} (x{SPEEDS[rank]} emulated)" for rank in (1, 2, 3)]


def test_each_rank_has_a_row_of_its_own_from_the_top_down(events: list[Event]) -> None:
    for row, bars in enumerate(draw(timeline.draw, events).axes[1].collections):
        corners = [corner for path in bars.get_paths() for corner in path.vertices.tolist()]  # type: ignore[union-attr]
        depths, seconds = [y for _, y in corners], [x for x, _ in corners]
        assert (min(depths), max(depths)) == pytest.approx((row - 0.4, row + 0.4))
        assert (min(seconds), max(seconds)) == pytest.approx((0, 4.02), abs=0.05)


def test_time_beyond_the_last_recorded_span_is_grey() -> None:
    limited = [a_span("compute", 0, 1), a_span("compute", 1, 4), the_totals(0, 100, 8, 0)]
    (rest,) = draw(timeline.draw, limited).axes[0].patches
    assert rest.get_extents().width > 0
    assert (rest.get_x(), rest.get_width()) == (4, 5)  # type: ignore[attr-defined]
    complete = [a_span("compute", 0, 8), a_span("communication", 8, 9), the_totals(0, 100, 8, 0)]
    assert not draw(timeline.draw, complete).axes[0].patches


# Weights


def test_one_round_is_drawn_as_bars_beside_the_line_of_equal_weights() -> None:
    axes = draw(weights.draw, [a_round(1, [0.7, 0.2, 0.1])]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.7, 0.2, 0.1]  # type: ignore[attr-defined]
    (equal,) = axes.get_lines()
    assert heights(equal) == pytest.approx([1 / 3, 1 / 3])


def test_a_rank_that_is_lost_has_no_weight_from_then_on() -> None:
    axes = draw(weights.draw, [a_round(1, [0.5, 0.5]), a_round(2, [1.0])]).axes[0]
    kept, lost, _ = [heights(line) for line in axes.get_lines()]
    assert kept == [0.5, 1.0]
    assert lost[0] == 0.5
    assert math.isnan(lost[1])


def test_the_title_names_the_strategy_that_trusts_the_fewest_ranks(events: list[Event]) -> None:
    legend = draw(weights.draw, events).legends[0]
    assert "in wp they amount to 2.30 effective nodes of 4" in legend.get_title().get_text()
    equal = [event for event in events if event["strategy"] != "wp"]
    assert "all count alike" in draw(weights.draw, equal).legends[0].get_title().get_text()


def test_the_caption_tells_the_data_set_without_its_folder(summaries: dict[str, Summary]) -> None:
    text = style.caption(HEADER, list(summaries.values()))
    assert text == "real-sim, 4 ranks. Emulated speeds: rank 1 x0.5, ranks 2-3 x0.25"
    assert style.caption({"config": {}}, []) == ""


# what other rules would have given


def asked(rule: str, round: int, objective: float, searched: float = 0.2, **more: Any) -> Event:
    score = {"objective": objective, "objective_after_line_search": searched, "accuracy": 0.5}
    score = {"left_out": "needs [more]"} if "left_out" in more else {**score, "effective_nodes": 2.0}
    return {"kind": "counterfactual", "rank": 0, "strategy": "s", "rule": rule, "round": round, **score}


ASKED = [
    asked("as run", 1, 0.5),
    asked("steps", 1, 0.6, 0.1),
    asked("tail", 1, 0.0, left_out=True),
    asked("as run", 2, 0.4),
    asked("steps", 2, math.nan),
    asked("tail", 2, 0.0, left_out=True),
]


def test_rules_are_drawn_by_how_far_they_are_above_the_run() -> None:
    assert counterfactual.above(ASKED, "steps", "objective")[1] == pytest.approx(20.0)
    assert math.isnan(counterfactual.above(ASKED, "steps", "objective")[2])
    assert counterfactual.above(ASKED, "steps", "objective_after_line_search")[1] == pytest.approx(-50.0)
    figure = counterfactual.draw(by_strategy(ASKED), "caption")
    assert figure is not None
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    assert counterfactual.draw(by_strategy([event for event in ASKED if "left_out" in event]), "") is None


def test_the_table_of_rules_is_of_the_last_look_and_says_who_was_left_out() -> None:
    found = counterfactual_table(summarise(ASKED))
    assert found is not None
    assert found.row_count == 2
    assert found.caption == "tail: needs [more]"
    assert [str(cell) for cell in found.columns[2].cells] == [decimal(0.4, 5), decimal(math.nan, 5)]
    assert counterfactual_table(summarise([])) is None
