"""Kernels are kept where they can be, found again while their sources stay as they are, and never needed."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import wpsgd
from wpsgd.kernels import cache
from wpsgd.kernels.compile import INTERPRETED, kernel

pytestmark = pytest.mark.skipif(INTERPRETED, reason="Python runs the kernels")
PACKAGE = Path(wpsgd.__file__).parent
CALLER = """
from wpsgd.kernels.compile import kernel
from wpsgd.kernels.losses import loss_at

@kernel
def twice(m: float) -> float:
    return 2.0 * loss_at(0, m)
"""
ASK = """
from wpsgd.kernels.caller import twice
print(twice(0.0), sum(twice._cache_hits.values()))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder that kernels may be kept in, still empty."""
    only(tmp_path / "place", monkeypatch)
    return tmp_path / "place"


def only(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "places", lambda: [place])
    monkeypatch.setattr(cache._Files, "full", False)
    cache._tried.cache_clear()
    cache.kept_in.cache_clear()


@pytest.fixture(autouse=True)
def _forget() -> None:
    yield
    cache._tried.cache_clear()
    cache.kept_in.cache_clear()


def fresh() -> Callable[[float], float]:
    """A small kernel as a process finds it that has compiled nothing yet."""

    @kernel
    def third(x: float) -> float:
        return x / 3.0

    return third


def another() -> Callable[[float], float]:
    @kernel
    def half(x: float) -> float:
        return x / 2.0

    return half


def hits(compiled: Callable[[float], float]) -> int:
    """How often it was found rather than compiled, once it has been called."""
    assert compiled(6.0) in (2.0, 3.0)
    return sum(compiled._cache_hits.values())  # type: ignore[attr-defined]


def files(place: Path) -> list[Path]:
    return sorted(place.glob(f"{cache.PREFIX}*/*.nbc"))


def test_the_second_process_finds_what_the_first_has_compiled(place: Path) -> None:
    assert [hits(fresh()), hits(fresh()), hits(another())] == [0, 1, 0]
    assert len(files(place)) == 2


def test_a_change_in_another_module_of_kernels_is_compiled_anew(tmp_path: Path) -> None:
    """As an upgrade in place makes it: numba itself looks at the file of each kernel alone."""
    package = tmp_path / "site" / "wpsgd"
    package.mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "launcher.py"):
        shutil.copy(PACKAGE / name, package)
    shutil.copytree(PACKAGE / "kernels", package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "kernels" / "caller.py").write_text(CALLER)
    losses = package / "kernels" / "losses.py"
    answers = [ask(package.parent), ask(package.parent)]
    text = losses.read_text()
    assert text.count("return max(0.0, 1.0 - m)\n") == 1
    losses.write_text(text.replace("return max(0.0, 1.0 - m)\n", "return max(0.0, 5.0 - m)\n"))
    answers += [ask(package.parent)]
    losses.write_text(text)
    answers += [ask(package.parent)]
    assert answers == ["2.0 0", "2.0 1", "10.0 0", "2.0 1"]


def ask(site: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("NUMBA_CACHE_DIR", None)
    answer = subprocess.run(
        [sys.executable, "-c", ASK], cwd=site, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return answer.stdout.strip()


@pytest.mark.parametrize("damage", ["empty", "cut short", "one bit", "other"])
def test_a_damaged_file_is_compiled_anew_and_mended(place: Path, damage: str) -> None:
    hits(fresh())
    (file,) = files(place)
    sound = file.read_bytes()
    bit = bytearray(sound)
    bit[len(bit) // 2] ^= 1
    file.write_bytes(
        {"empty": b"", "cut short": sound[: len(sound) // 2], "one bit": bytes(bit), "other": b"?" * 999}[
            damage
        ]
    )
    assert [hits(fresh()), hits(fresh())] == [0, 1]


def test_a_place_that_can_only_be_read_is_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hits(fresh())

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(cache, "_write", refuse)
    cache.kept_in.cache_clear()
    assert hits(fresh()) == 1


def test_without_any_place_kernels_are_compiled_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")  # not even root can make a folder below it
    only(tmp_path / "file" / "below", monkeypatch)
    assert [hits(fresh()), hits(another()), hits(fresh())] == [0, 0, 0]
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "below cannot be written (not a directory); set NUMBA_CACHE_DIR" in line.getMessage()


@pytest.mark.parametrize("refused", ["write_bytes", "replace"])
def test_a_disk_that_gets_full_is_one_line_and_leaves_no_half_files(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refused: str
) -> None:
    assert hits(another()) == 0
    whole, written, replaced = files(place), Path.write_bytes, os.replace

    def write(path: Path, content: bytes) -> int:
        written(path, content[:7])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def replace(old: Path, new: Path) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    if refused == "write_bytes":
        monkeypatch.setattr(Path, "write_bytes", write)
    else:
        monkeypatch.setattr(os, "replace", replace)
    assert [hits(fresh()), hits(fresh()), hits(another())] == [0, 0, 1]
    monkeypatch.setattr(Path, "write_bytes", written)
    monkeypatch.setattr(os, "replace", replaced)
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert " is full (" in line.getMessage()
    assert files(place) == whole
    assert not list(place.rglob("*.part"))


def test_of_many_ranks_the_first_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    only(tmp_path / "file" / "below", monkeypatch)
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "1")
    with caplog.at_level(logging.INFO, logger="wpsgd.kernels"):
        hits(fresh())
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_folders_of_other_stamps_go_when_they_have_rested_long_or_are_many(place: Path) -> None:
    day = 86400.0
    rests = {"new": 60.0, "old": 40 * day, **{f"some{n}": (n + 1) * day for n in range(10)}}
    for name, rest in rests.items():
        used = place / f"{cache.PREFIX}{name}" / cache.USED
        used.parent.mkdir(parents=True)
        used.write_text("")
        os.utime(used, (time.time() - rest,) * 2)
    (place / "mine").mkdir()
    folder = cache.opened(place)
    left = {path.name.removeprefix(cache.PREFIX) for path in place.iterdir()}
    assert left == {"new", "mine", *(f"some{n}" for n in range(6)), folder.name.removeprefix(cache.PREFIX)}
    assert cache.opened(place) == folder


def test_no_home_is_no_folder_called_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where no user has this number
    assert all(place.is_absolute() for place in cache.places())
    monkeypatch.setenv("NUMBA_CACHE_DIR", "here")
    assert cache.places()[0] == Path.cwd() / "here"
