"""The folder of a run: what is in it, and what may be overwritten.

config.toml        as used             results.json    what --json prints
environment.json   versions, ids       trace.jsonl     who did what when
models/LABEL.npz   final models        scores.json     of the final models
figures/           PNG and SVG         checkpoints/    states to resume from
logs/              one a rank         running.json    while a process is at work
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wpsgd import trace
from wpsgd.errors import ConfigError, WPSGDError
from wpsgd.experiment import claim
from wpsgd.experiment.claim import Claim
from wpsgd.export import Model, save_model
from wpsgd.trace import Event

_MARKS = ("config.toml", "environment.json")  # a folder with both is a run's
_FILES = (*_MARKS, "results.json", "scores.json", "trace.jsonl")
_FOLDERS = ("models", "checkpoints", "figures", "logs")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and files of one run. claim: checked before anything is written"""

    path: Path
    claim: Claim | None = None

    def check_place(self) -> None:
        """Raises ConfigError where there is no folder, or none of a run. Changes nothing."""
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path}: is a file; name a folder with --out")
        content = self._content()
        if content and not self._is_run(content):
            raise ConfigError(
                f"{self.path}: holds files that are not of a run; name another folder with --out"
            )

    def take(self) -> None:
        """Raises ConfigError where another run is at work in the folder, or nobody can write there."""
        try:
            if self.claim is not None:
                self.claim.take()
        except OSError as error:
            raise self._unfit(error) from error

    def check(self, *, force: bool, resume: bool) -> None:
        """Raises ConfigError where a run is there that was not to be touched. Changes nothing."""
        self.check_place()
        content = self._content()
        if content and not resume and not force:
            raise ConfigError(
                f"{self.path}: holds a run; --resume goes on with it, --force replaces it,"
                " --out names another folder"
            )

    def open(self, *, force: bool) -> None:
        """Makes the folder ready; `force` removes the run in it. Raises ConfigError where it cannot."""
        try:
            if force:
                self._remove_run()
            for name in _FOLDERS:
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unfit(error) from error

    def _content(self) -> set[str]:
        try:
            names = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        except OSError as error:
            raise self._unfit(error) from error
        # what NFS keeps of a removed file that is still open begins with .nfs
        return {name for name in names if not name.startswith((claim.NAME, ".nfs"))}

    def _unfit(self, error: OSError) -> ConfigError:
        return ConfigError(f"{self.path}: cannot be used ({error.strerror}); name another folder with --out")

    @staticmethod
    def _is_run(content: set[str]) -> bool:
        # a run that was cut off while it was set up may hold the empty folders alone
        parts = {f"{name}.part" for name in _FILES}
        return set(_MARKS) <= content or content <= {*_FOLDERS, *_MARKS, *parts}

    def _remove_run(self) -> None:
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        for name in _FOLDERS:
            if (self.path / name).is_dir():
                shutil.rmtree(self.path / name)

    def write(self, name: str, text: str) -> None:
        """Writes a file of the folder, atomically. Raises WPSGDError where the disk refuses."""
        part = self.path / f"{name}.part"
        self.check_claim()
        with _written(self.path / name):
            part.write_text(text, encoding="utf-8")
            os.replace(part, self.path / name)

    def write_json(self, name: str, content: Any) -> None:
        self.write(name, json.dumps(content, indent=1) + "\n")

    def write_trace(self, events: list[Event], header: dict[str, Any]) -> None:
        self.check_claim()
        with _written(self.path / "trace.jsonl"):
            trace.write(self.path / "trace.jsonl", events, header)

    def save_model(self, label: str, model: Model) -> Path:
        path = self.path / "models" / f"{label}.npz"
        self.check_claim()
        with _written(path):
            save_model(path, model)
        return path

    def check_claim(self) -> None:
        """Raises WPSGDError where another process has taken the folder over."""
        if self.claim is not None:
            self.claim.check()

    def checkpoints(self, label: str) -> Path:
        return self.path / "checkpoints" / label

    def has_begun(self, label: str) -> bool:
        """Whether a strategy left a model or a checkpoint to go on from."""
        return (self.path / "models" / f"{label}.npz").exists() or self.checkpoints(label).is_dir()

    def earlier(self) -> tuple[dict[str, dict[str, Any]], list[Event]]:
        """Scores of the strategies of an earlier run by label, and its trace; empty where there are none."""
        try:
            scores = json.loads((self.path / "scores.json").read_text(encoding="utf-8"))
            _, events = trace.read(self.path / "trace.jsonl")
        except (OSError, ValueError, WPSGDError):
            return {}, []
        return scores, events


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turns a full disk or a folder that cannot be written into one line; leaves no half file behind."""
    try:
        yield
    except OSError as error:
        path.with_name(f"{path.name}.part").unlink(missing_ok=True)
        raise WPSGDError(f"{path}: cannot be written ({error.strerror or error})") from error
