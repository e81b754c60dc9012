"""Checkpoints: complete or not there, refused when they are not what they seem, kept when a disk is bad."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import support
from support import ROUNDS, averaging, job, simulated

from wpsgd.checkpoint import CheckpointKeeper, fingerprint, latest
from wpsgd.errors import CheckpointError
from wpsgd.requests import State
from wpsgd.runtimes.local import Local
from wpsgd.strategies.patterns import ByRows

KEY = support.KEPT_BY


def state_of(round: int, rank: int) -> State:
    own = {
        "steps": 10 * round + rank,
        "share": 0.1 * rank,
        "words": '{"a": "é"}',
        "squares": np.full(3, rank),
    }
    return State(round, {"weights": np.full(5, round, np.float32)}, own)  # type: ignore[arg-type]


def save(folder: Path, round: int, ranks: int = 2, key: str = KEY, publish: bool = True) -> None:
    keeper = CheckpointKeeper(folder, key)
    keeper.prepare(round)
    checksums = [keeper.save(rank, state_of(round, rank), rank == 0) for rank in range(ranks)]
    if publish:
        keeper.publish(round, checksums)


def rounds(folder: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in folder.iterdir() if path.suffix != ".part")


def newest(folder: Path) -> Path:
    return max(folder.glob("round-*"))


def test_what_was_saved_is_found(tmp_path: Path) -> None:
    save(tmp_path, 7)
    found = latest(tmp_path, KEY)
    assert found is not None
    assert (found.round, found.ranks, found.notes) == (7, 2, ())
    for rank in range(2):
        state, expected = found.state(rank), state_of(7, rank)
        assert state.round == 7
        assert sorted(state.own) == sorted(expected.own)
        assert [state.own[k] for k in ("steps", "share", "words")] == [
            10 * 7 + rank,
            0.1 * rank,
            '{"a": "é"}',
        ]
        assert np.array_equal(state.own["squares"], np.full(3, rank))
        weights = state.shared["weights"]
        assert isinstance(weights, np.ndarray)
        assert weights.dtype == np.float32
        assert np.array_equal(weights, np.full(5, 7.0))


def test_nothing_is_found_where_nothing_was_saved(tmp_path: Path) -> None:
    assert latest(tmp_path, KEY) is None
    assert latest(tmp_path / "missing", KEY) is None


def test_only_the_two_newest_are_kept(tmp_path: Path) -> None:
    for round in (1, 2, 3, 10):
        save(tmp_path, round)
    assert rounds(tmp_path) == [3, 10]


def test_a_crash_before_the_end_leaves_the_older_one(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2, publish=False)
    found = latest(tmp_path, KEY)
    assert found is not None
    assert (found.round, found.notes) == (1, ())
    save(tmp_path, 2)  # what the crash left is no obstacle
    assert rounds(tmp_path) == [1, 2]
    assert not list(tmp_path.glob("*.part"))


def test_saving_a_round_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1, ranks=2)
    save(tmp_path, 1, ranks=3)
    found = latest(tmp_path, KEY)
    assert found is not None
    assert found.ranks == 3


@pytest.mark.parametrize("name", ["rank-0001.npz", "shared.npz", "manifest.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_checkpoint_is_passed_over_with_a_note(tmp_path: Path, name: str, damage: str) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    hurt(newest(tmp_path) / name, damage)
    found = latest(tmp_path, KEY)
    assert found is not None
    assert found.round == 1
    (note,) = found.notes
    assert note.startswith(f"{newest(tmp_path)}: damaged (")
    assert note.endswith("the checkpoint before it is used")
    assert "\n" not in note


def hurt(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2 if path.suffix == ".npz" else 0] ^= 0x41
        path.write_bytes(content)


def test_when_all_are_damaged_nothing_is_guessed(tmp_path: Path) -> None:
    for round in (1, 2):
        save(tmp_path, round)
        hurt(newest(tmp_path) / "shared.npz", "cut")
    with pytest.raises(CheckpointError) as caught:
        latest(tmp_path, KEY)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: no checkpoint can be read: ")
    assert message.count("shared.npz does not match its checksum") == 2
    assert "\n" not in message


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1, key="others")
    with pytest.raises(CheckpointError, match="made under other settings"):
        latest(tmp_path, KEY)


def test_a_checkpoint_of_a_later_format_says_so(tmp_path: Path) -> None:
    save(tmp_path, 1)
    manifest = newest(tmp_path) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(CheckpointError, match="format 99, this version reads format 2"):
        latest(tmp_path, KEY)


def test_fingerprints_tell_settings_apart_and_not_their_order() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def spoil(keeper: CheckpointKeeper, phase: str) -> None:
    """Saves round 2, whose unfinished folder is in the way or goes away just before a phase."""
    part = keeper.folder / "round-000000002.part"
    if phase == "prepare":
        part.write_text("a file in the way")
    keeper.prepare(2)
    if phase == "save":
        shutil.rmtree(part)
    checksums = [keeper.save(0, state_of(2, 0), True)]
    shutil.rmtree(part)
    keeper.publish(2, checksums)


@pytest.mark.parametrize("phase", ["prepare", "save", "publish"])
def test_a_folder_that_cannot_be_written_is_one_line_and_loses_nothing(tmp_path: Path, phase: str) -> None:
    save(tmp_path, 1)
    with pytest.raises(CheckpointError) as caught:
        spoil(CheckpointKeeper(tmp_path, KEY), phase)
    message = str(caught.value)
    assert "cannot be written (" in message
    assert message.endswith("the checkpoint before it is kept")
    assert "\n" not in message
    found = latest(tmp_path, KEY)
    assert found is not None
    assert found.round == 1


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("not a folder")
    with pytest.raises(CheckpointError, match=r"checkpoints.*cannot be written"):
        save(tmp_path / "checkpoints", 1)
    assert latest(tmp_path / "checkpoints", KEY) is None


def test_a_run_whose_disk_is_bad_ends_with_that_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("not a folder")
    for runtime in (simulated(2), Local(2)):
        keeper = support.keeper(tmp_path / "checkpoints", every=0.0)
        with pytest.raises(CheckpointError, match="cannot be written"):
            runtime.run(job(averaging(2, ByRows(5)), 2, keeper=keeper))


def test_checkpoints_are_made_when_they_are_due_and_only_then(tmp_path: Path) -> None:
    due = {"always": 0.0, "never": 1e9}
    for name, every in due.items():
        keeper = support.keeper(tmp_path / name, every=every)
        simulated(2).run(job(averaging(2, ByRows(5)), 2, keeper=keeper))
    assert rounds(tmp_path / "always") == [ROUNDS - 1, ROUNDS]
    assert not (tmp_path / "never").exists()


def test_a_finished_run_resumes_to_its_end_at_once(tmp_path: Path) -> None:
    program = averaging(2, ByRows(5))
    whole = simulated(2).run(job(program, 2, keeper=support.keeper(tmp_path, every=0.0)))
    again = simulated(2).run(job(program, 2, state=support.resumed(tmp_path)))
    assert again.model.tobytes() == whole.model.tobytes()
    assert support.counts(again) == support.counts(whole)
