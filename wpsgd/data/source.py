"""Where text comes from: a file, a folder of part files, a pattern, or a pipe, which can be read once only.

Names that stand for the same in all commands: `-` is standard input; `~` and `$VAR` are replaced; a folder
that is no store, or a pattern such as part-*, is all its files in the order of their names. Files whose names
begin with a dot or an underscore are left out: Spark's _SUCCESS and checksums.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from pathlib import Path

from wpsgd.errors import DataError

STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
STORE = "meta.json"  # in a folder that is a store and not one of part files


def expanded(source: str | os.PathLike[str]) -> Path:
    """The path with `~` and `$VAR` replaced, unless it is there as it stands. Raises DataError."""
    path = Path(source)
    if path.exists():
        return path
    text = os.path.expandvars(os.fspath(source))
    if unset := re.match(r"\$(\w+|\{[^}]*\})", text[text.find("$") :] if "$" in text else ""):
        raise DataError(f"{source}: no such file: the environment variable {unset[0]} is not set")
    return Path(text).expanduser()


def is_stdin(path: Path) -> bool:
    """Whether it stands for standard input."""
    return str(path) in STDIN


def reads_once(path: Path) -> bool:
    """Whether it is standard input, a pipe or the like, whose bytes are there once and for one reader."""
    if is_stdin(path):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_pattern(path: Path) -> bool:
    """Whether it names files by a pattern rather than being one."""
    return glob.has_magic(str(path)) and not path.exists()


def is_there(path: Path) -> bool:
    """Whether it is standard input, a file, a folder, a pipe, or a pattern of files that are there."""
    return is_stdin(path) or path.exists() or (is_pattern(path) and bool(glob.glob(str(path))))


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that a path stands for: itself, or those of a folder or a pattern, in the order of names.

    Raises DataError for a folder without files, a store, or a pattern that nothing matches.
    """
    if is_stdin(path):
        return (path,)
    if path.is_dir():
        return _parts_of(path)
    if not is_pattern(path):
        return (path,)
    # a pattern that begins with an underscore means such names
    hidden = path.name[:1] in "._"
    matches = sorted(Path(name) for name in glob.glob(str(path)))
    found = [match for match in matches if hidden or _is_named_as_part(match)]
    if not found:
        raise DataError(f"{path}: no such file, and none matches the pattern")
    return tuple(file for match in found for file in (_parts_of(match) if match.is_dir() else (match,)))


def size_of(path: Path) -> int:
    """Bytes of all its files; 0 of a pipe."""
    return sum(0 if reads_once(file) else file.stat().st_size for file in files_of(path))


def refuse_pipe(path: Path, why: str) -> None:
    """Raises DataError where a path is, or holds, a pipe."""
    if any(map(reads_once, files_of(path))):
        raise DataError(f"{path}: is a pipe, which can be read once, and {why}: write it to a file first")


def _is_named_as_part(path: Path) -> bool:
    return path.name[:1] not in ("", ".", "_")


def _parts_of(folder: Path) -> tuple[Path, ...]:
    if (folder / STORE).is_file():
        raise DataError(f"{folder}: is a folder of wpsgd data convert, where svmlight text is needed")
    try:
        found = sorted(filter(_is_named_as_part, folder.iterdir()))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if not found:
        raise DataError(
            f"{folder}: cannot be read: is a directory without part files,"
            f" and no store: there is no {STORE} in it"
        )
    if deeper := next((item for item in found if item.is_dir()), None):
        raise DataError(
            f"{folder}: holds a folder, {deeper.name}: name the files of all by a pattern, {folder}/*/part-*"
        )
    return tuple(found)
