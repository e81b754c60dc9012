"""The count of processors that all defaults of threads are made from."""

from __future__ import annotations

import builtins
import io
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from joblib import Parallel, delayed, parallel_config

import wpsgd
from wpsgd import control_groups
from wpsgd.processors import free_processors, narrowed_by, processors


@pytest.fixture
def host_of_64(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host of 64 processors without limits; the root of its control groups."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    monkeypatch.setattr(control_groups, "OWN", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "ROOT", tmp_path)
    with_files(monkeypatch, {})
    return tmp_path


def with_files(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """The files that joblib asks for the quota of a container, all others of that folder being absent."""
    exists, opened = os.path.exists, builtins.open
    asked = "/sys/fs/cgroup/cpu"

    def pretended(path: Any, *args: Any, **keys: Any) -> Any:
        return io.StringIO(files[path]) if str(path).startswith(asked) else opened(path, *args, **keys)

    monkeypatch.setattr(
        os.path, "exists", lambda path: path in files if str(path).startswith(asked) else exists(path)
    )
    monkeypatch.setattr(builtins, "open", pretended)


def test_without_limits_all_processors_count(host_of_64: Path) -> None:
    assert (processors(), free_processors(), narrowed_by()) == (64, 64, "")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
    ],
)
def test_the_quota_of_a_container_counts(
    host_of_64: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    with_files(monkeypatch, {f"/sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert processors() == expected
    assert ("quota" in narrowed_by()) == (expected < 64)


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/job/step", {"job/cpu.max": "200000 100000", "job/step/cpu.max": "max 100000"}),
        ("4:cpu,cpuacct:/job", {"cpu/job/cpu.cfs_quota_us": "20000", "cpu/job/cpu.cfs_period_us": "10000"}),
    ],
)
def test_the_quota_of_a_group_above_counts_too(host_of_64: Path, line: str, files: dict[str, str]) -> None:
    (host_of_64 / "cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    for name, text in files.items():
        (host_of_64 / name).parent.mkdir(parents=True, exist_ok=True)
        (host_of_64 / name).write_text(f"{text}\n")
    assert (processors(), narrowed_by()) == (2, "the CPU quota of its control group")


def test_the_affinity_mask_and_lokys_limit_count(host_of_64: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 9, 11, 12})
    assert (processors(), narrowed_by()) == (5, "the affinity mask")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "3")
    assert (processors(), narrowed_by()) == (3, "LOKY_MAX_CPU_COUNT")


def test_a_system_without_affinity_masks_has_all_its_processors(
    host_of_64: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert (processors(), narrowed_by()) == (64, "")
    assert not recwarn.list


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_a_worker_of_joblib_has_one_processor_to_itself(backend: str) -> None:
    assert Parallel(n_jobs=2, backend=backend)(delayed(free_processors)() for _ in range(2)) == [1, 1]


def test_one_job_of_joblib_and_who_only_chose_a_backend_have_all() -> None:
    assert Parallel(n_jobs=1)([delayed(free_processors)()]) == [processors()]
    with parallel_config(backend="threading", n_jobs=2):
        assert free_processors() == processors()


def test_a_worker_of_a_pool_has_one_processor_to_itself() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(free_processors) == 1


def test_nothing_else_counts_processors() -> None:
    package = Path(wpsgd.__file__).parent
    counting = re.compile(r"sched_getaffinity|\bcpu_count\b")
    assert [
        path.name for path in sorted(package.rglob("*.py")) if counting.search(path.read_text("utf-8"))
    ] == ["processors.py"]


def test_the_command_line_works_where_there_are_no_affinity_masks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\ndel os.sched_getaffinity\n")
    path = os.pathsep.join([str(tmp_path), str(Path(wpsgd.__file__).parents[1])])
    (tmp_path / "rows.svm").write_text("1 1:1\n-1 1:-1\n" * 4)
    (tmp_path / "free.toml").write_text(
        '[data]\nsource = "rows.svm"\n[[strategy]]\nname = "wp"\nrounds = 1\n'
    )
    for command in (["run", "free.toml", "--dry-run"], ["doctor", "free.toml"]):
        answer = subprocess.run(
            [sys.executable, "-m", "wpsgd.experiment", *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr == ""
