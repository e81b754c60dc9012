"""The table [small] of a study: what it changes, when it counts, what is refused of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wpsgd.config import Settings, load
from wpsgd.errors import ConfigError

STUDY = """
[data]
source = "rows.svm"
[model]
alpha = 0.5
[[strategy]]
name = "wp"
period = 70
[[strategy]]
name = "wp"
label = "other"
period = 80
[[strategy]]
name = "sequential"
period = 90
"""


def read(folder: Path, table: str, **options: object) -> Settings:
    path = folder / "x.toml"
    path.write_text(STUDY + table)
    return load(path, **options)  # type: ignore[arg-type]


def periods(settings: Settings) -> list[object]:
    return [entry.period for entry in settings.strategies]


def test_the_small_form_changes_what_it_names_and_only_where_it_is_asked_for(tmp_path: Path) -> None:
    small = "[small]\nmodel.alpha = 0.25\nstrategy.other.period = 8\nreport.looks = 3\n"
    asked, plain = read(tmp_path, small, small=True), read(tmp_path, small)
    assert (asked.model.alpha, asked.report.looks, periods(asked)) == (0.25, 3, [70, 8, 90])
    assert plain == read(tmp_path, "")
    assert load_back(tmp_path, asked) == asked


def load_back(folder: Path, settings: Settings) -> Settings:
    path = folder / "again.toml"
    path.write_text(settings.dumps())
    return load(path)


def test_entries_are_meant_by_label_by_name_or_all(tmp_path: Path) -> None:
    assert periods(read(tmp_path, "[small.strategy.wp]\nperiod = 8\n", small=True)) == [8, 8, 90]
    assert periods(read(tmp_path, '[small.strategy."*"]\nperiod = 8\n', small=True)) == [8, 8, 8]


def test_overrides_change_the_small_form_again(tmp_path: Path) -> None:
    small = "[small]\nstrategy.wp.period = 8\n"
    settings = read(tmp_path, small, small=True, overrides=["strategy.other.period=5"])
    assert periods(settings) == [8, 5, 90]


REFUSED = {
    "modle.alpha = 1": "[small] modle.alpha: no table 'modle'; did you mean 'model'? (allowed:",
    "small.alpha = 1": "[small] small.alpha: no table 'small' (allowed:",
    "model.alhpa = 1": "[small]: [model] alhpa: unknown key; did you mean 'alpha'?",
    "model.alpha = -1": "[small]: [model] alpha = -1: must be a number > 0",
    "model.alpha = nan": "[small]: [model] alpha = nan: must be a number > 0",
    "strategy.othr.period = 1": "[small] strategy.othr.period: no strategy 'othr'; did you mean 'other'?",
    "strategy.other.period = 0": '[small]: [[strategy]] 2 (other) period = 0: must be "pass" or an integer',
    "strategy.other = 3": "[small] strategy.other: must be TABLE.KEY = VALUE or strategy.LABEL.KEY = VALUE",
    "model = 3": "[small] model: must be TABLE.KEY = VALUE or strategy.LABEL.KEY = VALUE",
    "strategy.wp.label = 'same'": 'with [small]: [[strategy]] 2 (same) label = "same": must be unique',
}


@pytest.mark.parametrize("small", REFUSED)
@pytest.mark.parametrize("asked", [False, True])
def test_what_is_wrong_with_it_is_said_when_the_file_is_read(tmp_path: Path, small: str, asked: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"[small]\n{small}\n", small=asked)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{tmp_path}/x.toml: ")
    assert REFUSED[small] in line


def test_a_small_form_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("small = 3\n" + STUDY)
    with pytest.raises(ConfigError, match=r"\[small\]: must be a table, of lines such as data\.scale = 0\.1"):
        load(path)


def test_asking_for_a_small_form_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.toml: --small: the study has no small form"):
        read(tmp_path, "", small=True)
