"""`--set` arguments: values that take the place of those in the file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from wpsgd.config.problems import Place
from wpsgd.errors import ConfigError, nearest

FORM = "must be TABLE.KEY=VALUE or strategy.LABEL.KEY=VALUE"


def apply(
    overrides: Sequence[str], raw: dict[str, Any], tables: Sequence[str], labels: Sequence[str]
) -> dict[Place, str]:
    """Changes `raw` in place; which override set what. labels: of the strategies, in the file's order.

    Raises ConfigError for what is not an override, or where it leads nowhere.
    """
    origins: dict[Place, str] = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        table, dot, key = path.strip().partition(".")
        if not (equals and dot and key):
            raise ConfigError(f"--set {override}: {FORM}")
        value = _value(text.strip(), override)
        where = f"--set {override}"
        for place in places(table, key, raw, tables, labels, where, FORM):
            put(raw, place, value, where)
            origins[place] = where
    return origins


def _value(text: str, override: str) -> Any:
    """A TOML value; what is none is text, as a shell leaves no quotes around words."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        if text[:1] in ("", "[", "{", '"', "'"):
            raise ConfigError(f"--set {override}: {text or 'nothing'} is not a TOML value") from None
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def places(
    table: str,
    key: str,
    raw: Mapping[str, Any],
    tables: Sequence[str],
    labels: Sequence[str],
    where: str,
    form: str,
) -> list[Place]:
    """The places that TABLE.KEY or strategy.LABEL.KEY means; `where` begins messages, `form` is what must be.

    Raises ConfigError, with the choices, where it means none.
    """
    if table != "strategy":
        if table not in tables:
            allowed = ", ".join([*tables, "strategy"])
            hint = nearest(table, [*tables, "strategy"])
            raise ConfigError(f"{where}: no table {table!r}{hint} (allowed: {allowed})")
        return [(table, key)]
    label, dot, key = key.rpartition(".")
    if not (dot and label and key):
        raise ConfigError(f"{where}: {form}")
    names = [str(entry.get("name", "")) for entry in raw["strategy"]]
    found = [i for i, known in enumerate(zip(labels, names, strict=True)) if label == "*" or label in known]
    if not found:
        choices = [*dict.fromkeys([*labels, *names])]
        hint, allowed = nearest(label, choices), ", ".join([*choices, "*"])
        raise ConfigError(f"{where}: no strategy {label!r}{hint} (allowed: {allowed})")
    return [("strategy", i, key) for i in found]


def put(raw: dict[str, Any], place: Place, value: Any, where: str) -> None:
    """Puts a value there. Raises ConfigError, which begins with `where`, where that is no table."""
    table: Any = raw
    for key in place[:-1]:
        table = table.setdefault(key, {}) if isinstance(key, str) else table[key]
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {place[0]} is not a table in the file")
    table[place[-1]] = value
