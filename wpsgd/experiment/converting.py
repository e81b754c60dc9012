"""The command data convert."""

from __future__ import annotations

from pathlib import Path

from wpsgd.data import catalog
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.source import expanded
from wpsgd.data.store import Meta, is_store
from wpsgd.data.svmlight import ZeroBased
from wpsgd.errors import ConfigError, DataError, nearest

BASES: dict[str, ZeroBased] = {"auto": "auto", "true": True, "false": False}


def convert_source(
    source: str,
    folder: Path,
    wishes: tuple[str, str, bool, int, bool, bool],
    *,
    jobs: int | None,
    force: bool,
) -> Meta:
    """Converts text or a downloaded data set; what came of it.

    wishes: dtype, zero_based, unit_norm, seed, skip_bad_lines, sort_indices
    Raises ConfigError for what cannot be meant, DataError for what cannot be read or written.
    """
    dtype, zero_based, unit_norm, seed, skip_bad_lines, sort_indices = wishes
    if zero_based not in BASES:
        near = nearest(zero_based, BASES)
        raise ConfigError(f"--zero-based {zero_based}: must be one of {', '.join(BASES)}{near}")
    if folder.exists() and force and not is_store(folder):
        raise DataError(f"{folder}: is no converted folder; --force replaces nothing else")
    text = _text_of(source)
    made = Wishes(dtype, BASES[zero_based], unit_norm, seed, skip_bad_lines, sort_indices)
    return convert(text, folder, made, jobs=jobs, force=force).meta


def _text_of(source: str) -> Path:
    if source not in catalog.names():
        return expanded(source)
    if catalog.entry(source).origin != "download":
        raise ConfigError(
            f"{source}: is not a file; wpsgd data generate --store makes a folder of a synthetic twin"
        )
    return catalog.fetch(source)
