"""Runs the command line as its users do: in this process where streams and codes will do, else in another."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import support

from wpsgd.experiment.__main__ import main

LONG = 280.0  # seconds after which a process is given up, on a machine that does much else too


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


def call(*arguments: object) -> Answer:
    """Runs a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["wpsgd", *map(str, arguments)]
    with mock.patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            return Answer(int(end.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("main returned")


def done(*arguments: object) -> Answer:
    """The same for a command that has to do its work."""
    answer = call(*arguments)
    assert answer.code == 0, answer
    return answer


def start(*arguments: object, ranks: int = 0, script: str = "", **extra: str) -> subprocess.Popen[str]:
    """Starts a command in a process of its own, on so many MPI ranks unless 0."""
    program = [str(Path(__file__).with_name(script))] if script else ["-m", "wpsgd.experiment"]
    launcher = [support.mpiexec(), "-n", str(ranks)] if ranks else []
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [*launcher, sys.executable, *program, *map(str, arguments)]
    return subprocess.Popen(command, env=support.environment(**extra), stdin=subprocess.DEVNULL, **pipes)


def ended(process: subprocess.Popen[str]) -> Answer:
    """Waits for the end of a process."""
    try:
        out, err = process.communicate(timeout=LONG)
    finally:
        process.kill()
    return Answer(process.returncode, out, err)


def spawn(*arguments: object, ranks: int = 0, script: str = "", **extra: str) -> Answer:
    """Runs a command in a process of its own."""
    return ended(start(*arguments, ranks=ranks, script=script, **extra))


def wait_until(ready: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """What `ready` answers as soon as that is true."""
    until = time.monotonic() + LONG
    while not (answer := ready()):
        assert time.monotonic() < until, "nothing happened"
        assert process.poll() is None, ended(process)
        time.sleep(0.02)
    return answer


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def begun(folder: Path, label: str, rank: int = 0) -> bool:
    """Whether a rank of a run is at a strategy, so that a signal ends it at one of its boundaries."""
    return any(f" {label}: begins" in line for line in lines_of(folder / "logs" / f"rank-{rank}.log"))


@contextmanager
def time_up_at(boundary: int) -> Iterator[None]:
    """The clock of --max-seconds runs out at that boundary of a run on threads, whatever it shows."""
    from wpsgd.experiment.signals import Stop

    with mock.patch.object(Stop, "out_of_time", mock.PropertyMock(side_effect=_from(boundary))):
        yield


def _from(asked: int) -> Iterator[bool]:
    for number in count(1):
        yield number >= asked


@contextmanager
def signal_at(boundary: int, number: signal.Signals) -> Iterator[None]:
    """Sends this process a signal at that boundary of a run on threads, or before that strategy begins."""
    from wpsgd.experiment.signals import Stop

    asked, answer = 0, Stop.__call__

    def asking(stop: Stop) -> bool:
        nonlocal asked
        asked += 1
        if asked == boundary:
            signal.raise_signal(number)
        return answer(stop)

    with mock.patch.object(Stop, "__call__", asking):
        yield


def settings(**values: object) -> list[str]:
    """--set arguments; a double underscore stands for a dot."""
    return [part for key, value in values.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]


def models(folder: Path) -> dict[str, bytes]:
    """The bytes of each model of a run."""
    return {path.stem: path.read_bytes() for path in sorted((folder / "models").glob("*.npz"))}


def everything(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_rows(path: Path, rows: int, features: int = 6, seed: int = 0) -> Path:
    """A small svmlight file of two classes, one of each in the first two rows."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=features)
    lines = []
    for number in range(rows):
        x = rng.normal(size=features)
        label = 1 - 2 * number if number < 2 else 1 if x @ truth > 0 else -1
        lines.append(f"{label} " + " ".join(f"{i + 1}:{value!r}" for i, value in enumerate(x.tolist())))
    path.write_text("\n".join(lines) + "\n")
    return path
