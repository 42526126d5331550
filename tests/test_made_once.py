"""What processes of a test run share is made once."""

from pathlib import Path

import pytest

from made_once import made_once


def test_what_is_there_is_kept_and_what_failed_is_made_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made: list[Path] = []

    def fail(folder: Path) -> None:
        folder.mkdir()
        raise RuntimeError("half made")

    def make(folder: Path) -> None:
        folder.mkdir()
        made.append(folder)

    with pytest.raises(RuntimeError, match="half made"):
        made_once(tmp_path_factory, "folder", fail)
    paths = {made_once(tmp_path_factory, "folder", make) for _ in range(2)}
    assert len(made) == len(paths) == 1
    assert paths.pop().is_dir()
