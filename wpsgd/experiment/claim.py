"""A run has its folder to itself: a file in it says which process on which host is at work, and in which job.

The file is made by one of those who try (O_EXCL), on shared disks too, and touched every few seconds. Who
finds it asks whether its process is alive: on the same host the system, elsewhere Slurm and the last touch.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any
from uuid import uuid4

from wpsgd.errors import ConfigError, WPSGDError

NAME = "running.json"
BEAT = 10.0  # seconds between two touches
# seconds without a touch after which a process of another host counts as gone: anyway; where Slurm says that
# its job is over; where it was of the same job, which has been requeued since; where the file is cut off
SILENT, JOB_OVER, REQUEUED, CUT_OFF = 600.0, 60.0, 30.0, 30.0
# seconds to wait for one that seems to end, for any (it may just have been killed), and between two looks
PATIENCE, MOMENT, POLL = 60.0, 2.0, 0.25
ASKING = 10.0  # seconds for Slurm to answer


@dataclass(frozen=True, slots=True)
class Holder:
    """A process at work. space: of its process numbers (containers have their own); restarts: of its job."""

    host: str
    pid: int
    started: str = ""
    space: str = ""
    job: str = ""
    restarts: int = 0
    since: str = ""
    token: str = ""

    def __str__(self) -> str:
        job = f" (job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"


class Claim:
    """The right to write into a folder. say: told in a line why it takes a while, or whose right has ended"""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.folder, self.path, self._say = folder, folder / NAME, say
        self.holder = this_process()
        self._held = self._lost = False
        self._made: list[Path] = []
        self._ended = threading.Event()

    def take(self) -> None:
        """Raises ConfigError where another process is at work in the folder, OSError where none can be."""
        began, told = time.monotonic(), False
        while not self._create():
            found, silent = self._found()
            if silent is None:
                continue  # it has gone meanwhile
            needed = CUT_OFF if found is None else self._needed(found)
            if silent >= needed:
                if self._take_over(found):
                    if needed > 0.0:
                        who = found or "a process"
                        self._say(
                            f"note: {self.folder}: {who} was not heard of for {silent:.0f} s, and is gone"
                        )
                    break
                time.sleep(POLL)
                continue
            ending = needed - silent <= PATIENCE or (found is not None and self._is_requeued(found))
            if time.monotonic() - began > (PATIENCE if ending else MOMENT):
                raise ConfigError(self._busy(found, needed, silent))
            if ending and not told:
                told, who = True, found or f"a process whose {self.path.name} cannot be read"
                self._say(f"note: {self.folder}: waiting up to {PATIENCE:.0f} s for {who} to end")
            time.sleep(POLL)
        threading.Thread(target=self._beat, name="wpsgd-claim", daemon=True).start()

    def release(self) -> None:
        """Leaves the folder to others, and removes it where nothing came into it."""
        self._ended.set()
        held, self._held = self._held and not self._lost, False
        with suppress(OSError):  # where the disk is away, the next one finds that this process is gone
            if held and self._is_own():
                self.path.unlink(missing_ok=True)
            for folder in self._made:
                folder.rmdir()

    def check(self) -> None:
        """Raises WPSGDError where the folder has another owner by now: this process seemed to be gone."""
        if self._held and (self._lost or not self._is_own()):
            self._lost = True
            raise WPSGDError(
                f"{self.folder}: another process took it over, because this one seemed to be gone"
            )

    def _create(self) -> bool:
        self._make_folder()
        try:
            self._held = self._write(self.path)
        except FileNotFoundError:  # another process has just removed the folder that it had made
            return self._create()
        return self._held

    def _write(self, path: Path) -> bool:
        """Makes a file that names this process; not where there is one. Raises OSError."""
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        try:
            with os.fdopen(file, "w", encoding="utf-8") as stream:
                json.dump(asdict(self.holder), stream)
        except OSError:  # a full disk
            path.unlink(missing_ok=True)
            raise
        return True

    def _make_folder(self) -> None:
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._made = self._made or missing

    def _found(self) -> tuple[Holder | None, float | None]:
        """Who is there (None: that cannot be read), and seconds since its last touch; None: nobody is."""
        try:
            return _read(self.path), self._silence(self.path)
        except FileNotFoundError:
            return None, None

    def _silence(self, path: Path) -> float:
        """Seconds since a file was touched, by the disk's clock."""
        touched = path.stat().st_mtime
        with tempfile.TemporaryFile(dir=self.folder, prefix=f"{NAME}.") as now:
            return max(0.0, os.fstat(now.fileno()).st_mtime - touched)

    def _needed(self, found: Holder) -> float:
        """Seconds without a touch from which on it is gone: 0 where it is, infinite where it is alive."""
        mine = self.holder
        if (found.host, found.space) == (mine.host, mine.space):
            return inf if is_alive(found) else 0.0
        if self._is_requeued(found):
            return REQUEUED
        state = job_state(found.job) if found.job else None
        if state == "SUSPENDED":
            return inf
        return JOB_OVER if state == "" else SILENT

    def _is_requeued(self, found: Holder) -> bool:
        mine = self.holder
        return bool(found.job) and found.job == mine.job and found.restarts < mine.restarts

    def _busy(self, found: Holder | None, needed: float, silent: float) -> str:
        who = str(found or "a process")
        since = f" since {found.since}" if found and found.since else ""
        gone = f"; if that process is gone, remove {self.path}" if needed < inf else ""
        return (
            f"{self.folder}: {who} has been at work in it{since}, last heard of {silent:.0f} s ago:"
            f" wait for its end, or name another folder with --out{gone}"
        )

    def _take_over(self, gone: Holder | None) -> bool:
        """Takes the place of one that is gone, unless another process does.

        Only who has made the file that is named after the gone one may replace its claim, so there is one.
        """
        right = self.path.with_name(f"{NAME}.after-{gone.token if gone else 'one-cut-off'}")
        if not self._write(right):
            with suppress(FileNotFoundError):
                if self._silence(right) > CUT_OFF:  # of a process that has ended in this very moment
                    right.unlink()
            return False
        try:
            if _read(self.path) == gone:
                os.replace(right, self.path)
                self._held = True
        except FileNotFoundError:
            pass
        finally:
            if not self._held:
                right.unlink(missing_ok=True)
        return self._held

    def _is_own(self) -> bool:
        try:
            return _read(self.path) == self.holder
        except FileNotFoundError:
            return False
        except OSError:  # a disk that is away for a while tells nothing
            return True

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            if not self._is_own():
                self._lost = True
                return
            with suppress(OSError):
                os.utime(self.path)


def this_process() -> Holder:
    """Who asks."""
    pid, environment = os.getpid(), os.environ
    restarts = environment.get("SLURM_RESTART_COUNT", "")
    return Holder(
        socket.gethostname(),
        pid,
        _started(pid),
        _space(),
        environment.get("SLURM_JOB_ID", ""),
        int(restarts) if restarts.isdigit() else 0,
        time.strftime("%Y-%m-%d %H:%M:%S"),
        uuid4().hex,
    )


def is_alive(holder: Holder) -> bool:
    """Whether a process of this host is there, and no other that has its number by now."""
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    started = _started(holder.pid)
    return not started or not holder.started or started == holder.started


def job_state(job: str) -> str | None:
    """What Slurm says of a job: empty where it is over, None where Slurm cannot be asked."""
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ASKING, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode == 0:
        return answer.stdout.strip()
    return "" if "Invalid job id" in answer.stderr else None


def _started(pid: int) -> str:
    """When a process began, in the system's own words; empty where it does not tell, as macOS."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else "ended"


def _space() -> str:
    """Of process numbers: the start of this system, and the container. Empty where there is no /proc."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{started} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _read(path: Path) -> Holder | None:
    """None where it is being written, or was cut off. Raises OSError."""
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Holder(**known)
    except (ValueError, TypeError):
        return None
