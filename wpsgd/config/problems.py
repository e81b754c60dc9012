"""Validation errors in the user's words: where, what, what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from wpsgd.config.tables import choices
from wpsgd.errors import ConfigError, nearest

Place: TypeAlias = tuple[str | int, ...]
TableT = TypeVar("TableT", bound=BaseModel)
LONGEST = 60  # characters of a value that a message repeats


class Problem(NamedTuple):
    """One line of a message. place: the keys that lead to the value."""

    place: Place
    text: str


def checked(
    kind: type[TableT],
    values: object,
    place: Place,
    heading: str,
    problems: list[Problem],
    elsewhere: Mapping[str, str] | None = None,
) -> TableT | None:
    """A table of that kind, or None with what is wrong added to `problems`.

    heading: how messages name the table; elsewhere: keys that it does not have, and who has them
    """
    if not isinstance(values, Mapping):
        problems.append(Problem(place, f"{heading} {shown(values)}: must be a table"))
        return None
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        # one problem a key, however many members of a union found fault with it
        firsts = {details["loc"][:1]: details for details in reversed(error.errors(include_url=False))}
        for key, details in reversed(firsts.items()):
            text = _worded(details, kind, values, elsewhere or {})
            problems.append(Problem(place + key, f"{heading} {text}"))
        return None


def unknown(what: str, name: str, allowed: list[str]) -> str:
    """The message for a name that is none of `allowed`."""
    return f"{name}: unknown {what}{nearest(name, allowed)} (allowed: {', '.join(allowed)})"


def shown(value: object) -> str:
    """A value as TOML writes it, shortened."""
    text = repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _worded(
    details: ErrorDetails, kind: type[BaseModel], values: Mapping[str, Any], elsewhere: Mapping[str, str]
) -> str:
    if not details["loc"]:
        return str(details.get("ctx", {}).get("error", details["msg"]))
    key = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        return (
            f"{key}: {elsewhere[key]}" if key in elsewhere else unknown("key", key, list(kind.model_fields))
        )
    must = f"must be {kind.model_fields[key].description}"
    if key not in values:
        return f"{key}: missing, {must}"
    value = values[key]
    hint = nearest(value, choices(kind, key)) if isinstance(value, str) else ""
    return f"{key} = {shown(value)}: {must}{hint}"


def raise_all(problems: list[Problem], origins: Mapping[Place, str], file: str) -> None:
    """Raises ConfigError with a line for each problem, if there is one.

    origins: who set what is not the file's
    """
    if problems:
        lines = [f"{origins.get(problem.place, file)}: {problem.text}" for problem in problems]
        raise ConfigError("\n".join(lines))
