"""What stderr shows meanwhile: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support
from command_line import done, settings

from wpsgd.experiment.progress import LiveTable, Plain, Silent, make_progress, outline

ONE = ["small", "--strategies", "wp", *settings(report__figures="false")]


def look(round: float, **fields: Any) -> dict[str, Any]:
    numbers = {"rows": 1_234_567, "seconds": 3.14159, "objective": 0.123456, "accuracy": 0.9876}
    return {"kind": "look", "round": round, **numbers, **fields}


def test_a_look_is_one_line_of_rounded_numbers() -> None:
    told = "1,234,567 rows, 3.14 s, objective 0.12346"
    assert outline(look(2), 10) == f"round 2 of 10, {told}, accuracy 98.76 %"
    assert outline(look(0.5, accuracy=None), 10) == f"round 0.5 of 10, {told}"
    assert outline(look(11_500, accuracy=None), 30_000) == f"round 11,500 of 30,000, {told}"


def test_plain_lines_come_at_most_once_a_second_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Plain()
    progress.start("wp", 100)
    for round in range(1, 101):
        progress.event(look(round))
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split(",")[0] for line in said.err.splitlines()] == [
        "wp: round 1 of 100",
        "wp: round 100 of 100",
    ]


def test_the_table_shows_each_strategy_where_it_stands() -> None:
    progress = LiveTable()
    progress.live.start = lambda *_: None  # type: ignore[method-assign]
    progress.start("sequential", 10)
    progress.event(look(10))
    progress.start("wp", 10)
    progress.event({"kind": "round", "counts": [1000, 250]})
    progress.event(look(3))
    columns = [list(column.cells) for column in progress.table().columns]
    assert columns[0] == ["sequential", "wp"]
    assert columns[1] == ["10 / 10", "3 / 10"]
    assert columns[-1] == ["", "1,000 250"]


def test_only_the_first_rank_shows_anything() -> None:
    assert type(make_progress("live", first=False)) is Silent
    assert type(make_progress("none", first=True)) is Silent
    assert type(make_progress("plain", first=True)) is Plain
    assert type(make_progress("auto", first=True)) is Plain  # this stderr is no terminal


def test_none_leaves_stderr_empty(tmp_path: Path) -> None:
    assert done("run", *ONE, "--progress", "none", "--out", tmp_path / "x").err == ""


def test_a_terminal_gets_a_live_table_and_stdout_the_results(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "wpsgd.experiment", "run", *ONE, "--out", str(tmp_path / "x")]
    environment = support.environment(TERM="xterm", COLUMNS="120")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        while piece := read(ours):
            shown += piece
        out = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "\x1b[" in shown.decode()
    assert re.search(r"wp +10 / 10 +\d", text)
    assert "round 10 of 10" not in text
    assert "run folder: " in out
    assert "\x1b[" not in out


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux: the other side is closed
        return b""
