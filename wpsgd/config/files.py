"""TOML files of experiments or clusters: found by path or name, parsed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from wpsgd.data import catalog
from wpsgd.data.source import expanded, is_there
from wpsgd.errors import ConfigError, DataError, nearest

PATHS = ("source", "test", "weights")  # keys of [data] that may be paths
CLUSTERS = "cluster-"  # how the names of shipped cluster files begin


def shipped_folder() -> Path:
    """Where the shipped files are: inside an installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "shipped" / "experiments"
    return installed if installed.is_dir() else package.parent / "experiments"


def shipped(clusters: bool = False) -> dict[str, Path]:
    """The shipped experiments, or clusters, by name."""
    paths = sorted(shipped_folder().glob("*.toml"))
    return {path.stem: path for path in paths if path.stem.startswith(CLUSTERS) == clusters}


def find(path_or_name: str | Path, clusters: bool = False) -> Path:
    """The file of that path, else the shipped one of that name. Raises ConfigError with near names."""
    path = Path(path_or_name)
    known = shipped(clusters)
    if path.is_file():
        return path
    if str(path) in known:
        return known[str(path)]
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder, must be a TOML file; shipped: {', '.join(known) or 'none'}")
    neighbours = sorted(p.name for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
    hint = nearest(path.name, [*neighbours, *known])
    there = f"; in {path.parent}: {', '.join(neighbours)}" if neighbours else ""
    raise ConfigError(f"{path}: no such file{hint}{there}; shipped: {', '.join(known) or 'none'}")


def parse(path: Path) -> dict[str, Any]:
    """The file's tables. Raises ConfigError with line and column where it is not TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {_placed(str(error))}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start + 1} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


def look_beside(data: object, folder: Path) -> None:
    """Has the paths of a table [data] found in `folder`, that of its file, which are not there as they stand.

    A path from the working folder wins, and so does the name of a data set. Changes `data` in place.
    """
    if not isinstance(data, dict):
        return
    for key in PATHS:
        value = data.get(key)
        if isinstance(value, str) and value and value not in catalog.names() and _is_beside(value, folder):
            data[key] = str(folder / value)


def _is_beside(value: str, folder: Path) -> bool:
    try:
        path = expanded(value)
    except DataError:  # who loads it says that a variable is not set
        return False
    return not path.is_absolute() and not is_there(path) and is_there(folder / path)


def _placed(message: str) -> str:
    """tomllib's message with the place in front."""
    found = re.fullmatch(r"(.*) \(at (.*)\)", message, re.DOTALL)
    return f"{found[2]}: {found[1]}" if found else message
