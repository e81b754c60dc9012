"""Whether a run may go on from what its folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wpsgd import checkpoint
from wpsgd.config import Settings, load
from wpsgd.errors import CheckpointError, WPSGDError
from wpsgd.experiment.folder import RunFolder

ADVICE = "resume as it was begun, name another folder with --out, or replace it with --force"


def check_resumable(folder: RunFolder, settings: Settings, environment: Mapping[str, Any]) -> None:
    """Raises CheckpointError where a strategy was begun under settings, ranks or clocks that are not these.

    environment: of the run that is to go on, as `results.environment` makes it
    """
    differences = _differences(folder, settings, environment)
    if differences:
        raise CheckpointError(f"{folder.path}: cannot go on: {'; '.join(differences)}; {ADVICE}")
    scores, _ = folder.earlier()
    for strategy in settings.strategies:
        digest = checkpoint.fingerprint(settings.digest(strategy.label, environment["ranks"]))
        # not the fingerprint, which is of the rows too, and these are not read yet
        if scores.get(strategy.label, {}).get("settings", digest) != digest:
            raise CheckpointError(
                f"{folder.path}: {strategy.label} was trained under other settings; {ADVICE}"
            )


def _differences(folder: RunFolder, settings: Settings, now: Mapping[str, Any]) -> list[str]:
    """What tells the two runs apart, one phrase each; none where the earlier one cannot be read."""
    try:
        earlier = load(folder.path / "config.toml")
        before = json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, WPSGDError):
        return []  # the fingerprints of the checkpoints tell as much, in fewer words
    if not isinstance(before, dict) or not isinstance(before.get("ranks"), int):
        return []
    found = [_phrase("cluster", before.get("cluster"), now.get("cluster"))]
    known = [strategy.label for strategy in earlier.strategies]
    for label in (strategy.label for strategy in settings.strategies):
        if label in known and folder.has_begun(label):
            old, new = (
                _flat(earlier.digest(label, before["ranks"])),
                _flat(settings.digest(label, now["ranks"])),
            )
            found += [_phrase(_named(key, label), old.get(key), new.get(key)) for key in {**old, **new}]
    return [phrase for phrase in dict.fromkeys(found) if phrase]


def _phrase(key: str, before: object, now: object) -> str:
    return "" if before == now else f"{key} was {_shown(before)}, now is {_shown(now)}"


def _shown(value: object) -> str:
    return "not set" if value is None else json.dumps(value)


def _named(key: str, label: str) -> str:
    return key.replace("strategy.", f"strategy.{label}.", 1) if key.startswith("strategy.") else key


def _flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in tables.items():
        flat.update(
            {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        )
    return flat
