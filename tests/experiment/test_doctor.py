"""The command doctor: a line a finding, the fix beside what is wrong."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from command_line import call, done, everything, spawn

from wpsgd.experiment import doctor
from wpsgd.kernels import cache
from wpsgd.processors import processors

TOPICS = ["MPI library", "launcher", "ranks", "processors", "kernel cache", "memory"]


@pytest.mark.mpi
def test_a_sound_place_has_a_line_for_each_topic() -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    answer = done("doctor")
    assert [line[9:].partition(":")[0] for line in answer.out.splitlines()] == TOPICS
    assert {line.split()[0] for line in answer.out.splitlines()} == {"ok"}
    findings = json.loads(done("doctor", "--json").out)["findings"]
    assert [finding["what"].partition(":")[0] for finding in findings] == TOPICS
    assert f"processors: {processors()}" in findings[3]["what"]


def test_a_kernel_cache_that_cannot_be_written_is_a_warning_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")  # not even root can make a folder below it
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    answer = done("doctor")
    lines = answer.out.splitlines()
    (place,) = (n for n, line in enumerate(lines) if line.startswith("warning  kernel cache"))
    assert "cannot be written" in lines[place]
    assert lines[place + 1].strip().startswith("fix: set NUMBA_CACHE_DIR")


def test_a_kernel_cache_that_is_full_is_a_warning_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def replace(old: Path, new: Path) -> None:
        if old.stat().st_size > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        old.rename(new)

    monkeypatch.setattr(cache, "places", lambda: [tmp_path / "small"])
    assert doctor._kernel_cache().level == "ok"
    before = everything(tmp_path)
    monkeypatch.setattr(os, "replace", replace)
    finding = doctor._kernel_cache()
    assert finding.level == "warning"
    assert "is full (no space left on device)" in finding.what
    assert finding.fix.startswith("set NUMBA_CACHE_DIR")
    assert everything(tmp_path) == before


def test_the_second_place_is_fine_unless_the_first_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "places", lambda: [tmp_path / "file" / "below", tmp_path / "home"])
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    finding = doctor._kernel_cache()
    assert finding.level == "ok"
    assert finding.what.startswith(f"kernel cache: {tmp_path / 'home'}")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    finding = doctor._kernel_cache()
    assert finding.level == "warning"
    assert "below cannot be written (not a directory)" in finding.what
    assert finding.what.endswith(" is used")


def test_one_process_in_a_slurm_job_of_many_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    findings = json.loads(done("doctor", "--json").out)["findings"]
    (ranks,) = (f for f in findings if f["what"].startswith("ranks"))
    assert ranks["level"] == "warning"
    assert "SLURM_NTASKS is 4" in ranks["what"]
    assert ranks["fix"].startswith("srun")


def test_without_an_mpi_library_it_ends_with_1_and_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPI4PY_LIBMPI", "/nowhere/libmpi.so")
    answer = call("doctor")
    assert answer.code == 1
    assert answer.out.splitlines()[0].startswith("error    MPI library: none that loads")
    assert "pip install 'wpsgd[mpich]'" in answer.out.splitlines()[1]
    assert answer.errors == ["error: 1 of 6 findings must be mended before a run"]


@pytest.mark.mpi
def test_ranks_that_do_not_see_one_another_are_an_error() -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    first, other = (spawn("doctor", PMI_SIZE="4", PMI_RANK=rank) for rank in "01")
    assert first.code == other.code == 1
    assert "error    ranks: PMI_SIZE says 4 ranks" in first.out
    assert (other.out, other.err) == ("", "")
