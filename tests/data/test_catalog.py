"""Tests of the catalogue of data sets."""

from __future__ import annotations

import bz2
import hashlib
import http.server
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pooch
import pytest

from wpsgd.data import catalog
from wpsgd.data.load import BUNDLED, TWINS, load
from wpsgd.errors import DataError

CONTENT = bz2.compress(b"1 1:1\n-1 2:1\n")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WPSGD_DATA_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own, empty catalogue."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    monkeypatch.setattr(catalog, "folder", lambda: folder)
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of a web server on this host with a good and a bad file, which answers nothing else."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "good.bz2").write_bytes(CONTENT)
    (root / "login.bz2").write_bytes(b"<html>please log in</html>")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(root))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def text(
    name: str = "mine", origin: str = "download", tail: str = '[train]\nurl = "http://127.0.0.1:9/a.bz2"'
) -> str:
    return (
        f'name = "{name}"\ntitle = "t"\norigin = "{origin}"\nrows = 2\nfeatures = 2\nnonzeros = 2\n'
        "classes = 2\n"
        f'positive_share = 0.5\nunit_norm = true\nlicence = "none"\n{tail}\n'
    )


def test_the_shipped_catalogue_is_valid_and_complete() -> None:
    assert set(catalog.names()) == {
        "real-sim", "real-sim-twin", "kdd2010", "kdd2010-twin", "digits", "breast-cancer"
    }  # fmt: skip
    assert list(catalog.names()) == sorted(catalog.names())


def test_every_name_has_something_that_makes_its_rows() -> None:
    makers = {"synthetic": set(TWINS), "scikit-learn": set(BUNDLED)}
    for origin, known in makers.items():
        assert {name for name in catalog.names() if catalog.entry(name).origin == origin} == known


def test_twins_share_the_shape_of_their_originals() -> None:
    for name in ("real-sim", "kdd2010"):
        original = catalog.entry(name)
        twin = catalog.entry(str(original.twin))
        for field in ("rows", "features", "nonzeros", "classes", "positive_share", "unit_norm"):
            assert getattr(original, field) == getattr(twin, field)


def test_an_unknown_name_is_refused_with_the_nearest_and_the_list() -> None:
    with pytest.raises(
        DataError, match=r"'real-sin'; did you mean 'real-sim'\?; there are breast-cancer, digits"
    ):
        catalog.entry("real-sin")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text().replace("rows = 2", "rows = 0"), r"mine\.toml: rows: Input should be greater than 0"),
        (text().replace("classes = 2", "clases = 2"), r"mine\.toml: classes: Field required"),
        ("colour = 1\n" + text(), r"mine\.toml: colour: Extra inputs are not permitted"),
        (text(tail='[train]\nurl = "ftp://x/y"'), r"mine\.toml: train\.url: String should match"),
        (
            text(tail='[train]\nurl = "http://x/y"\nsha256 = "12"'),
            r"mine\.toml: train\.sha256: String should match",
        ),
        (text(tail=""), r"mine\.toml: the file: .*\[train\] with a url"),
        (text(origin="synthetic"), r"mine\.toml: the file: .*\[train\] with a url"),
        (text(name="other"), r"mine\.toml: name: 'other' differs from the file's name"),
        (
            text(origin="synthetic", tail='twin = "absent"'),
            r"mine\.toml: twin: 'absent' is not in the catalogue",
        ),
        ("rows = = 2", r"mine\.toml: Invalid value"),
    ],
)
def test_a_bad_catalogue_file_is_refused_by_file_and_key(shelf: Path, content: str, message: str) -> None:
    (shelf / "mine.toml").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        catalog.names()
    assert "\n" not in str(caught.value)


def test_a_fetched_file_is_kept_in_the_cache(shelf: Path, site: str, cache: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    (shelf / "mine.toml").write_text(text(tail=f'[train]\nurl = "{site}/good.bz2"\nsha256 = "{digest}"'))
    path = catalog.fetch("mine")
    assert path == cache / "good.bz2"
    assert path.read_bytes() == CONTENT
    (Path(cache).parent / "site" / "good.bz2").unlink()
    assert catalog.fetch("mine") == path
    assert [item.name for item in cache.iterdir()] == ["good.bz2"]


@pytest.mark.parametrize(
    ("file", "sha256", "message"),
    [
        ("login.bz2", "", r"mine could not be fetched \(the answer was no \.bz2 file\)"),
        ("absent.bz2", "", r"mine could not be fetched \(HTTP 404\): http"),
        ("good.bz2", f'sha256 = "{"0" * 64}"', r"mine could not be fetched \(.*hash"),
    ],
)
def test_a_wrong_answer_is_refused_and_not_kept(
    shelf: Path, site: str, cache: Path, file: str, sha256: str, message: str
) -> None:
    (shelf / "mine.toml").write_text(text(tail=f'[train]\nurl = "{site}/{file}"\n{sha256}'))
    with pytest.raises(DataError, match=message) as caught:
        catalog.fetch("mine")
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_no_network_is_one_clear_line(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[logging.LogRecord] = []
    monkeypatch.setattr(pooch.get_logger(), "handle", said.append)
    (shelf / "mine.toml").write_text(text())  # nothing listens at port 9 of this host
    with pytest.raises(
        DataError, match=r"^mine could not be fetched \(no network\): http://127.0.0.1:9/a.bz2$"
    ):
        catalog.fetch("mine")
    assert said == []


def test_what_cannot_be_fetched_is_tried_once_for_all(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    def retrieve(*_: object, **__: object) -> None:
        tries.append(1)
        raise ConnectionError

    monkeypatch.setattr(catalog.pooch, "retrieve", retrieve)
    (shelf / "mine.toml").write_text(text())
    why = catalog.fetch_all("mine")
    assert why.startswith("mine could not be fetched (no network): http")
    with pytest.raises(DataError, match=re.escape(why)):
        load("mine", unreachable=why)
    assert len(tries) == 1
    assert catalog.fetch_all("rows.svm") == ""


def test_a_set_without_a_test_file_says_so() -> None:
    with pytest.raises(DataError, match="real-sim: has no test file to fetch"):
        catalog.fetch("real-sim", "test")
