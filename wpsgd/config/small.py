"""The small form of a study: the table [small] of its file, whose values take the place of those in it.

[small]
data.scale = 0.02
strategy."*".period = 100      # of all entries; strategy.LABEL.period of one
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wpsgd.config.overrides import places, put
from wpsgd.config.problems import Place
from wpsgd.errors import ConfigError

SMALL = "small"  # the table, and the option that asks for it
FORM = "must be TABLE.KEY = VALUE or strategy.LABEL.KEY = VALUE"


def apply_small(
    small: object, raw: dict[str, Any], tables: Sequence[str], labels: Sequence[str], file: str
) -> dict[Place, str]:
    """Changes `raw` in place; which places the small form set, and how messages name it.

    small: the table [small] of `file`, None where it has none; labels: of the strategies, in its order.
    Raises ConfigError where there is none, or a key of it leads nowhere.
    """
    if small is None:
        raise ConfigError(f"{file}: --{SMALL}: the study has no small form, a table [{SMALL}] in its file")
    heading = f"{file}: [{SMALL}]"
    origins: dict[Place, str] = {}
    for path, value in _values(small, heading):
        table, key = path[0], ".".join(path[1:])
        where = f"{heading} {'.'.join(path)}"
        for place in places(table, key, raw, tables, labels, where, FORM):
            put(raw, place, value, where)
            origins[place] = heading
    return origins


def _values(small: object, heading: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of each key: TABLE, KEY of a table and "strategy", LABEL, KEY of an entry."""
    if not isinstance(small, Mapping):
        raise ConfigError(f"{heading}: must be a table, of lines such as data.scale = 0.1")
    for table, keys in small.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(f"{heading} {table}: {FORM}")
        for key, value in keys.items():
            if table != "strategy":
                yield (table, key), value
            elif not isinstance(value, Mapping):
                raise ConfigError(f"{heading} {table}.{key}: {FORM}")
            else:
                yield from (((table, key, name), inner) for name, inner in value.items())
