"""Outputs appear whole or not at all."""

import errno
from pathlib import Path

import pytest

from isoslice.errors import OutputError
from isoslice.io import atomic
from isoslice.io.atomic import atomic_output, atomic_write, check_output


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def zarr_folder(path: Path, text: str = "{}") -> Path:
    path.mkdir()
    (path / "zarr.json").write_text(text, encoding="utf-8")
    return path


def test_writes_file_and_folder(tmp_path):
    with atomic_output(tmp_path / "a.ome.tif") as draft:
        assert draft.parent == tmp_path
        assert draft.name.startswith(".")
        assert draft.name.endswith("a.ome.tif")
        draft.write_text("x", encoding="utf-8")
        assert not (tmp_path / "a.ome.tif").exists()
    with atomic_output(tmp_path / "b.zarr") as draft:
        zarr_folder(draft)
    assert names(tmp_path) == ["a.ome.tif", "b.zarr"]
    assert (tmp_path / "a.ome.tif").read_text(encoding="utf-8") == "x"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("folder", [False, True])
def test_failure_leaves_old_output(tmp_path, error, folder):
    path = tmp_path / "out.zarr"
    if folder:
        zarr_folder(path, "old")
    else:
        path.write_text("old", encoding="utf-8")
    with pytest.raises(type(error)), atomic_output(path, overwrite=True) as draft:  # noqa: PT012
        zarr_folder(draft, "new")
        raise error
    assert names(tmp_path) == ["out.zarr"]
    assert (path / "zarr.json" if folder else path).read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("old_folder", [False, True])
@pytest.mark.parametrize("new_folder", [False, True])
def test_overwrite_in_all_combinations(tmp_path, old_folder, new_folder):
    path = tmp_path / "out"
    if old_folder:
        zarr_folder(path, "old")
    else:
        path.write_text("old", encoding="utf-8")
    with pytest.raises(OutputError, match="choose another name or add --overwrite"):
        check_output(path)
    with atomic_output(path, overwrite=True) as draft:
        if new_folder:
            zarr_folder(draft, "new")
        else:
            draft.write_text("new", encoding="utf-8")
    assert names(tmp_path) == ["out"]
    assert (path / "zarr.json" if new_folder else path).read_text(encoding="utf-8") == "new"


def test_never_deletes_a_users_folder(tmp_path):
    path = tmp_path / "results"
    path.mkdir()
    (path / "thesis.tex").write_text("x", encoding="utf-8")
    (path / "config.json").write_text("{}", encoding="utf-8")
    for attempt in (
        lambda: check_output(path, True),
        lambda: atomic_output(path, True).__enter__(),
    ):
        with pytest.raises(OutputError, match="never replaced"):
            attempt()
    assert names(path) == ["config.json", "thesis.tex"]


def test_replaces_model_and_empty_folders(tmp_path):
    model, empty = tmp_path / "m.model", tmp_path / "empty"
    model.mkdir()
    empty.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    (model / "weights.safetensors").write_text("x", encoding="utf-8")
    for path in (model, empty):
        with atomic_output(path, overwrite=True) as draft:
            draft.mkdir()
            (draft / "new").write_text("x", encoding="utf-8")
        assert names(path) == ["new"]
    assert names(tmp_path) == ["empty", "m.model"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.ENOENT, "folder on the way is missing"),
        (None, "disk is full"),
        (errno.EIO, "check the disk"),
    ],
)
def test_os_errors_become_one_line(tmp_path, code, message):
    path = tmp_path / "a.tif"
    with pytest.raises(OutputError, match=message) as caught, atomic_output(path) as draft:  # noqa: PT012
        draft.write_text("part", encoding="utf-8")
        raise OSError(code, "some reason") if code else OSError("10 requested and 5 written")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_failed_rename_restores_the_old_folder(tmp_path, monkeypatch):
    path = zarr_folder(tmp_path / "a.zarr", "old")
    rename = Path.rename

    def fail(self, target):
        if "-a.zarr" in self.name and (self / "zarr.json").read_text(encoding="utf-8") == "new":
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="full"), atomic_output(path, overwrite=True) as draft:
        zarr_folder(draft, "new")
    assert names(tmp_path) == ["a.zarr"]
    assert (path / "zarr.json").read_text(encoding="utf-8") == "old"


def test_name_taken_meanwhile(tmp_path):
    path = tmp_path / "a.tif"
    with pytest.raises(OutputError, match="exists"), atomic_output(path) as draft:  # noqa: PT012
        draft.write_text("mine", encoding="utf-8")
        path.write_text("other", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "other"
    assert names(tmp_path) == ["a.tif"]


def test_missing_parent_and_odd_names(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="does not exist; create it first"):
        check_output(tmp_path / "no" / "a.tif")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="is not a folder"):
        check_output(tmp_path / "file" / "a.tif")
    with pytest.raises(OutputError, match="expected the name"):
        check_output("..")
    monkeypatch.setattr(atomic.os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="not writable"):
        check_output(tmp_path / "a.tif")


def test_symbolic_link_is_followed(tmp_path):
    (tmp_path / "store").mkdir()
    real = tmp_path / "store" / "real.tif"
    real.write_text("old", encoding="utf-8")
    link = tmp_path / "link.tif"
    link.symlink_to(real)
    with atomic_output(link, overwrite=True) as draft:
        draft.write_text("new", encoding="utf-8")
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "new"


def test_nothing_written(tmp_path):
    with pytest.raises(OutputError, match="nothing was written"), atomic_output(tmp_path / "a"):
        pass


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_output("a.npy") as draft:
        draft.write_text("x", encoding="utf-8")
    assert names(tmp_path) == ["a.npy"]


@pytest.mark.parametrize("fsync", [False, True])
def test_a_file_of_our_own_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, fsync):
    synced: list[int] = []
    monkeypatch.setattr(atomic.os, "fsync", synced.append)
    path = tmp_path / "plan.json"
    with atomic_write(path, fsync=fsync) as stream:
        stream.write(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(path, fsync=fsync) as stream:  # noqa: PT012
        stream.write(b"ne")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    with atomic_write(path, fsync=fsync) as stream:
        stream.write(b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["plan.json"]
    assert len(synced) == (4 if fsync else 0)  # the file and its folder, twice
