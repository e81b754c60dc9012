"""A run has its folder to itself: who is alive keeps it, who is gone leaves it to the next."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import pytest
from command_line import call, done, everything, settings, spawn, start, wait_until

from wpsgd.errors import ConfigError, WPSGDError
from wpsgd.experiment import claim
from wpsgd.experiment.claim import Claim, Holder, this_process

QUICK = ("run", "small", "--strategies", "wp", "--progress", "none", *settings(report__figures="false"))
ELSEWHERE = replace(this_process(), host="another", space="its own", token="theirs")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(claim, "MOMENT", 0.0)
    monkeypatch.setattr(claim, "POLL", 0.01)


def left(folder: Path, holder: Holder | None, silent: float = 0.0) -> Path:
    """The file of somebody who touched it so many seconds ago; None: cut off."""
    folder.mkdir(exist_ok=True)
    path = folder / claim.NAME
    path.write_text("" if holder is None else json.dumps(asdict(holder)))
    os.utime(path, (time.time() - silent,) * 2)
    return path


def taken(folder: Path) -> list[str]:
    """What is said on the way to a claim, which is given back."""
    said: list[str] = []
    mine = Claim(folder, said.append)
    mine.take()
    assert json.loads((folder / claim.NAME).read_text())["token"] == mine.holder.token
    mine.release()
    return said


def refused(folder: Path) -> str:
    before = everything(folder)
    with pytest.raises(ConfigError) as error:
        Claim(folder).take()
    assert everything(folder) == before
    return str(error.value)


def test_a_claim_keeps_others_out_until_it_is_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    first = Claim(folder)
    first.take()
    said = refused(folder)
    assert said.startswith(
        f"{folder}: process {os.getpid()} on {first.holder.host} has been at work in it since "
    )
    assert said.endswith("wait for its end, or name another folder with --out")
    first.check()
    first.release()
    assert not folder.parent.exists()
    assert taken(folder) == []


def test_what_came_into_the_folder_stays(tmp_path: Path) -> None:
    mine = Claim(tmp_path / "runs" / "mine")
    mine.take()
    (mine.folder / "config.toml").write_text("")
    mine.release()
    assert [*everything(tmp_path)] == ["runs/mine/config.toml"]


def test_a_process_that_has_ended_leaves_its_folder_to_the_next(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left(tmp_path / "run", replace(this_process(), pid=process.pid))
    assert taken(tmp_path / "run") == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it does not tell when processes began")
def test_another_process_of_the_same_number_is_not_the_one_that_ended(tmp_path: Path) -> None:
    left(tmp_path / "run", replace(this_process(), started="1"))
    assert taken(tmp_path / "run") == []


def test_an_ended_process_that_nobody_waited_for_has_ended(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    holder = replace(this_process(), pid=process.pid, started=claim._started(process.pid))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is still listed
    left(tmp_path / "run", holder)
    try:
        assert taken(tmp_path / "run") == []
    finally:
        process.wait()


def test_a_process_of_another_host_is_gone_when_it_is_silent(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    path = left(folder, ELSEWHERE, silent=claim.SILENT / 2)
    assert refused(folder).endswith(f"; if that process is gone, remove {path}")
    left(folder, ELSEWHERE, silent=claim.SILENT + 60.0)
    (note,) = taken(folder)
    assert "on another was not heard of for" in note


@pytest.mark.parametrize(
    ("state", "silent", "free"),
    [
        ("RUNNING", claim.JOB_OVER + 60.0, False),
        ("RUNNING", claim.SILENT + 60.0, True),
        ("SUSPENDED", 1e6, False),
        ("", claim.JOB_OVER + 1.0, True),
        (None, claim.JOB_OVER + 60.0, False),
        (None, claim.SILENT + 60.0, True),
    ],
)
def test_slurm_is_asked_about_jobs_of_other_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str | None, silent: float, free: bool
) -> None:
    monkeypatch.setattr(claim, "job_state", lambda job: {"17": state}[job])
    left(tmp_path / "run", replace(ELSEWHERE, job="17"), silent)
    if free:
        assert "(job 17)" in taken(tmp_path / "run")[0]
    else:
        assert "(job 17) has been at work" in refused(tmp_path / "run")


@pytest.mark.parametrize(
    ("squeue", "state"),
    [
        ("echo RUNNING", "RUNNING"),
        ("true", ""),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", ""),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", None),
        (None, None),
    ],
)
def test_what_squeue_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squeue: str | None, state: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if squeue is not None:
        (tmp_path / "squeue").write_text(f"#!/bin/sh\n{squeue}\n")
        (tmp_path / "squeue").chmod(0o755)
    assert claim.job_state("17") == state


def waits(folder: Path) -> tuple[threading.Thread, list[str]]:
    """A thread that wants a folder and has said that it waits, and what it says."""
    said: list[str] = []
    waiting = threading.Thread(target=Claim(folder, said.append).take)
    waiting.start()
    while not said:
        assert waiting.is_alive()
        time.sleep(0.01)
    return waiting, said


def test_a_requeued_job_waits_for_what_it_was_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    before = replace(ELSEWHERE, job="17", restarts=1)
    left(tmp_path / "run", before, silent=claim.REQUEUED + 1.0)
    assert "was not heard of" in taken(tmp_path / "run")[0]
    path = left(tmp_path / "run", before)
    waiting, said = waits(tmp_path / "run")
    assert ": waiting up to " in said[0]
    path.unlink()
    waiting.join()
    assert json.loads(path.read_text())["restarts"] == 2
    assert len(said) == 1


def test_patience_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "PATIENCE", 0.05)
    monkeypatch.setattr(claim, "REQUEUED", 0.04)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    left(
        tmp_path / "run", replace(ELSEWHERE, job="17"), silent=-3600.0
    )  # a clock that is ahead is no silence
    assert "(job 17) has been at work" in refused(tmp_path / "run")


def test_a_file_that_was_cut_off_does_not_stay_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(tmp_path / "run", None, silent=claim.CUT_OFF + 1.0)
    assert "a process was not heard of" in taken(tmp_path / "run")[0]
    monkeypatch.setattr(claim, "PATIENCE", 0.05)
    monkeypatch.setattr(claim, "CUT_OFF", 0.04)
    left(tmp_path / "run", None, silent=-3600.0)
    assert "a process has been at work" in refused(tmp_path / "run")


def test_waiting_for_a_file_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "PATIENCE", 7200.0)
    left(tmp_path / "run", None, silent=-3600.0)
    waiting, said = waits(tmp_path / "run")
    assert ": waiting up to 7200 s for a process whose running.json cannot be read to end" in said[0]
    (tmp_path / "run" / "running.json").unlink()
    waiting.join()


def test_of_many_who_find_a_dead_one_a_single_one_takes_its_place(tmp_path: Path) -> None:
    for _ in range(20):
        left(tmp_path / "run", replace(this_process(), started="1", token="gone"))
        claims = [Claim(tmp_path / "run") for _ in range(8)]
        outcomes = together([one.take for one in claims])
        assert outcomes.count(None) == 1
        assert all(isinstance(outcome, ConfigError) for outcome in outcomes if outcome is not None)
        claims[outcomes.index(None)].check()
        for one in claims:
            one.release()
        assert not [*(tmp_path / "run").iterdir()] if (tmp_path / "run").exists() else True


def test_who_died_while_taking_over_stops_nobody_for_long(tmp_path: Path) -> None:
    left(tmp_path / "run", replace(this_process(), started="1", token="gone"))
    half = tmp_path / "run" / f"{claim.NAME}.after-gone"
    half.write_text("")
    os.utime(half, (time.time() - claim.CUT_OFF - 1.0,) * 2)
    assert taken(tmp_path / "run") == []
    assert not [*(tmp_path / "run").iterdir()]


def together(calls: list[Callable[[], None]]) -> list[Exception | None]:
    """What each raises when all are called at once."""
    outcomes: list[Exception | None] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def one(number: int) -> None:
        barrier.wait()
        try:
            calls[number]()
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_claim_that_was_taken_over_writes_no_more(tmp_path: Path) -> None:
    mine = Claim(tmp_path / "run")
    mine.take()
    path = left(tmp_path / "run", ELSEWHERE)
    theirs = path.read_text()
    with pytest.raises(WPSGDError, match="another process took it over"):
        mine.check()
    mine.release()
    assert path.read_text() == theirs


def test_a_full_disk_leaves_no_claim_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dump(content: object, stream: IO[str]) -> None:
        stream.write("{")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(json, "dump", dump)
    answer = call(*QUICK, "--out", tmp_path / "runs" / "x")
    assert answer.code == 2
    assert answer.errors == [
        f"error: {tmp_path / 'runs' / 'x'}: cannot be used (No space left on device);"
        " name another folder with --out"
    ]
    assert not (tmp_path / "runs").exists()


def test_a_claim_is_touched_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "BEAT", 0.01)
    mine = Claim(tmp_path / "run")
    mine.take()
    os.utime(mine.path, (0.0, 0.0))
    until = time.monotonic() + 60.0
    while mine.path.stat().st_mtime == 0.0:
        assert time.monotonic() < until
        time.sleep(0.01)
    mine.release()


@pytest.mark.parametrize("flags", [(), ("--resume",), ("--force",)])
def test_a_second_run_changes_nothing_in_the_folder_of_the_first(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    folder = tmp_path / "run"
    done(*QUICK, "--out", folder)
    first = Claim(folder)
    first.take()
    before = everything(folder)
    answer = call(*QUICK, "--out", folder, "--set", "model.alpha=1e-3", *flags)
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert f"process {os.getpid()} on " in answer.errors[0]
    assert everything(folder) == before
    first.release()
    assert done(*QUICK, "--out", folder, "--force").code == 0
    assert not (folder / claim.NAME).exists()


def test_two_runs_at_once_are_one_run_and_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    long = settings(strategy__wp__rounds=10**6, report__looks=1)
    first = start(*QUICK, *long, "--out", folder)
    wait_until((folder / "config.toml").exists, first)
    holder: dict[str, Any] = json.loads((folder / claim.NAME).read_text())
    assert holder["pid"] == first.pid
    second = call(*QUICK, "--force", "--out", folder)
    assert (second.code, len(second.errors)) == (2, 1)
    first.kill()
    first.communicate()
    assert done(*QUICK, "--force", "--out", folder).code == 0  # as the first is gone


@pytest.mark.parametrize("source", ["nowhere.svm", "bad.svm"])
def test_a_run_that_fails_before_it_trains_leaves_nothing(tmp_path: Path, source: str) -> None:
    (tmp_path / "bad.svm").write_text("1 1:x\n")
    answer = call(*QUICK, "--data", tmp_path / source, "--out", tmp_path / "runs" / "x")
    assert answer.code == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.mpi
def test_all_ranks_agree_that_the_folder_is_taken(tmp_path: Path) -> None:
    first = Claim(tmp_path / "run")
    first.take()
    free = settings(machine__speeds="[]")
    answer = spawn(*QUICK, *free, "--out", tmp_path / "run", ranks=2)
    assert (answer.code, len(answer.errors)) == (2, 1)
    first.release()
    answer = spawn(*QUICK, *free, "--out", tmp_path / "run", ranks=2)
    assert answer.code == 0, answer
    assert not (tmp_path / "run" / claim.NAME).exists()
