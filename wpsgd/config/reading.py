"""From an experiment file to settings: finding it, parsing it, checking it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from wpsgd.config.entry import StrategySettings
from wpsgd.config.files import find, look_beside, parse
from wpsgd.config.overrides import apply
from wpsgd.config.problems import Place, Problem, checked, raise_all, shown, unknown
from wpsgd.config.settings import Settings, heading
from wpsgd.config.small import SMALL, apply_small
from wpsgd.config.strategies import KINDS
from wpsgd.config.tables import DataSettings, MachineSettings, ModelSettings, ReportSettings, Table
from wpsgd.errors import ConfigError, nearest

TABLES: Mapping[str, type[Table]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "machine": MachineSettings,
    "report": ReportSettings,
}


# keys of other tools, and why there is none of them
_L2 = "no key: the penalty is L2, of strength alpha; L1 and elastic net are out of scope"
NO_KEYS: Mapping[str, Mapping[str, str]] = {"model": {"penalty": _L2, "l1": _L2, "l1_ratio": _L2}}


def load(
    path_or_name: str | Path,
    *,
    overrides: Sequence[str] = (),
    strategies: Sequence[str] = (),
    source: str | None = None,
    small: bool = False,
) -> Settings:
    """The settings of an experiment file, or of a shipped experiment by its name.

    overrides: `--set` arguments; strategies: labels of those to keep, all if empty; source: in place of
    [data] source; small: with what the file's table [small] changes, which overrides change again.
    Paths in the file are looked for from the working folder, then beside the file; those of overrides and of
    source from the working folder.
    Raises ConfigError, one line a problem.
    """
    path = find(path_or_name)
    raw = parse(path)
    _check_strategy_array(raw, str(path))
    labels = _label(raw["strategy"])
    for tables in (raw, raw.get(SMALL)):
        look_beside(tables.get("data") if isinstance(tables, dict) else None, path.parent)
    smaller, untouched = raw.pop(SMALL, None), deepcopy(raw)
    origins = apply_small(smaller, raw, list(TABLES), labels, str(path)) if small else {}
    origins |= apply(overrides, raw, list(TABLES), labels)
    if source is not None:
        data = raw.setdefault("data", {})
        if isinstance(data, dict):
            data["source"] = source
    file = f"{path}: with [{SMALL}]" if small else str(path)
    settings = _settings(raw, origins, file)
    if smaller is not None and not small:
        _check_small(smaller, untouched, labels, str(path))
    settings = _kept(settings, strategies)
    try:
        return settings.for_its_part()
    except ConfigError as error:
        raise_all([Problem((), line) for line in str(error).splitlines()], origins, file)
        raise


def _check_small(small: object, raw: dict[str, Any], labels: Sequence[str], file: str) -> None:
    """Raises ConfigError for a small form that would be refused, though nobody asks for it yet."""
    origins = apply_small(small, raw, list(TABLES), labels, file)
    _settings(raw, origins, f"{file}: with [{SMALL}]")


def settings_of(tables: Mapping[str, Any], where: str) -> Settings:
    """The settings of tables that stand in no file; messages begin with `where`. Raises ConfigError."""
    raw = {**tables, "strategy": [dict(entry) for entry in tables["strategy"]]}
    _label(raw["strategy"])
    return _settings(raw, {}, where)


def _check_strategy_array(raw: dict[str, Any], file: str) -> None:
    entries = raw.setdefault("strategy", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{file}: strategy: must be tables, each under a line [[strategy]]")
    if not entries:
        raise ConfigError(f"{file}: [[strategy]]: missing, must be at least one, with a name: {_names()}")


def _label(entries: list[dict[str, Any]]) -> list[str]:
    """Labels entries in place that have none: by name, the second of a name with -2."""
    taken = {str(entry["label"]) for entry in entries if "label" in entry}
    for entry in entries:
        if "label" in entry or not isinstance(entry.get("name"), str):
            continue
        name = entry["name"]
        candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
        entry["label"] = next(label for label in candidates if label not in taken)
        taken.add(entry["label"])
    return [str(entry.get("label", "")) for entry in entries]


def _settings(raw: Mapping[str, Any], origins: Mapping[Place, str], file: str) -> Settings:
    allowed = [*TABLES, "strategy", SMALL]
    problems = [Problem((name,), unknown("table", name, allowed)) for name in raw if name not in allowed]
    tables = {
        name: checked(kind, raw.get(name, {}), (name,), f"[{name}]", problems, NO_KEYS.get(name))
        for name, kind in TABLES.items()
    }
    entries = [_entry(values, place, problems) for place, values in enumerate(raw["strategy"])]
    raise_all(problems, origins, file)
    try:
        return Settings(strategies=tuple(entries), **tables)  # type: ignore[arg-type] # none is None
    except ConfigError as error:
        raise_all([Problem((), line) for line in str(error).splitlines()], origins, file)
        raise


def _entry(values: Mapping[str, Any], place: int, problems: list[Problem]) -> StrategySettings | None:
    name = values.get("name")
    if not isinstance(name, str) or name not in KINDS:
        said = "name: missing" if name is None else f"name = {shown(name)}"
        hint = nearest(name, KINDS) if isinstance(name, str) else ""
        text = f"[[strategy]] {place + 1} {said}{',' if name is None else ':'} must be {_names()}{hint}"
        problems.append(Problem(("strategy", place, "name"), text))
        return None
    called = heading(place, str(values.get("label", name)))
    kind = KINDS[name]
    return checked(kind, values, ("strategy", place), called, problems, _keys_of_others(kind))


def _keys_of_others(kind: type[StrategySettings]) -> dict[str, str]:
    keys = {key for other in KINDS.values() for key in other.model_fields} - kind.model_fields.keys()
    return {
        key: "only for " + ", ".join(name for name, other in KINDS.items() if key in other.model_fields)
        for key in keys
    }


def _names() -> str:
    return "one of " + ", ".join(f'"{name}"' for name in KINDS)


def _kept(settings: Settings, labels: Sequence[str]) -> Settings:
    if not labels:
        return settings
    wanted = {settings.strategy(label).label for label in labels}
    return replace(settings, strategies=tuple(s for s in settings.strategies if s.label in wanted))
