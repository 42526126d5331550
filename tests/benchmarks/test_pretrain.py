"""Data for pretraining: planes are read, cut, packed and described as the manifest says."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from conftest import texture
from isoslice.data.crops import draw_crops
from isoslice.errors import DataError
from pretrain import pack as packing
from pretrain.card import PAGE, page
from pretrain.codes import clipped_share, encode
from pretrain.corpus import COLUMNS, MANIFEST, MOST_PLANES, Entry, read_manifest, read_stacks
from pretrain.excluded import EXCLUDED, MISFILED, reason_of
from pretrain.pack import HELD_FROM, held_out, pack
from pretrain.packed import read_packed, write_packed
from pretrain.sources import DOUBTS, NOTICES, SHOWS
from pretrain.tiles import structured_tiles, tile_shape

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
SOURCE = "rahi-lab/YeaZ-GUI@1d95c1e34ca1c800a30c5b7e250c849daf142a28"
FOLDER = "phase_contrast/yeaz_yeast"


def row(file: str, data: np.ndarray, axes: str, **other: str) -> dict[str, str]:
    """A line of a manifest."""
    known = {
        "file": file,
        "modality": file.split("/")[0],
        "source": SOURCE,
        "path": "data.tif",
        "licence": "MIT",
        "pixel_size": "1 um",
        "dtype": data.dtype.name,
        "shape": "x".join(map(str, data.shape)),
        "axes": axes,
        "planes": "1",
        "note": "",
    }
    return known | other


def write_corpus(
    folder: Path, images: dict[str, tuple[str, np.ndarray]], **other: str
) -> list[Entry]:
    """Write images, by their path, with their axes, and a manifest; read that."""
    rows = []
    for file, (axes, data) in images.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        colours = "rgb" if axes.endswith("S") else "minisblack"
        tifffile.imwrite(folder / file, data, photometric=colours)
        rows.append(row(file, data, axes, **other))
    with (folder / MANIFEST).open("w", newline="") as to:
        writer = csv.DictWriter(to, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return read_manifest(folder)


def one(folder: Path, axes: str, data: np.ndarray) -> Entry:
    """A corpus of one image."""
    return write_corpus(folder, {f"{FOLDER}/image.tif": (axes, data)})[0]


def test_a_manifest_is_sorted_and_corrected(tmp_path):
    plane = texture(64, 64)
    misfiled, shown = next(iter(MISFILED.items()))
    files = [f"{FOLDER}/b.tif", f"{FOLDER}/a.tif", f"{misfiled}.tif"]
    entries = write_corpus(tmp_path, dict.fromkeys(files, ("YX", plane)))
    assert [entry.file for entry in entries] == sorted(files)
    by_file = {entry.file: entry for entry in entries}
    assert by_file[files[0]].modality == "phase_contrast"
    assert by_file[files[2]].modality == shown
    assert (by_file[files[0]].licence, by_file[files[0]].source) == ("MIT", SOURCE)
    assert by_file[files[0]].path.is_file()


def test_a_manifest_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no such file"):
        read_manifest(tmp_path)
    plane = texture(64, 64)
    write_corpus(tmp_path, {f"{FOLDER}/a.tif": ("YX", plane)})
    lines = (tmp_path / MANIFEST).read_text().splitlines()
    (tmp_path / MANIFEST).write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(DataError, match="twice"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text(lines[0].replace("licence", "rights") + "\n" + lines[1])
    with pytest.raises(DataError, match="licence"):
        read_manifest(tmp_path)


def test_each_channel_is_a_stack(tmp_path):
    data = np.stack([texture(64, 70, seed=seed) for seed in range(3)])
    stacks = read_stacks(one(tmp_path, "CYX", data))
    assert [stack.channel for stack in stacks] == [0, 1, 2]
    for stack, plane in zip(stacks, data, strict=True):
        np.testing.assert_array_equal(stack.planes, plane[None])
        low, high = np.percentile(plane, (0.1, 99.9))
        np.testing.assert_allclose(
            stack.normalised()[0], (plane - low) / (high - low), atol=2 / (high - low)
        )


def test_of_colours_the_one_of_most_contrast_is_taken(tmp_path):
    plane = texture(64, 70)
    data = np.stack([plane // 4, plane, plane // 2], -1)
    (stack,) = read_stacks(one(tmp_path, "YXS", data))
    np.testing.assert_array_equal(stack.planes, plane[None])


def test_of_many_planes_a_few_are_taken_that_show_something(tmp_path):
    data = texture(40, 64, 64)
    data[7] = 0
    (stack,) = read_stacks(one(tmp_path, "ZYX", data))
    kept = [z for z in range(40) if any(np.array_equal(data[z], p) for p in stack.planes)]
    assert stack.planes.shape == (MOST_PLANES, 64, 64)
    assert len(kept) == MOST_PLANES
    assert (kept[0], kept[-1]) == (0, 39)
    assert 7 not in kept
    (movie,) = read_stacks(one(tmp_path, "TYX", data[:5]))
    np.testing.assert_array_equal(movie.planes, data[:5])


@pytest.mark.parametrize("data", [texture(40, 200), np.full((64, 64), 7, np.uint8)])
def test_what_shows_nothing_is_left_out(tmp_path, data):
    assert read_stacks(one(tmp_path, "YX", data)) == []


def test_excluded_files_are_not_even_opened(tmp_path):
    file = next(iter(EXCLUDED))
    (tmp_path / MANIFEST).write_text(
        ",".join(COLUMNS) + "\n" + ",".join([f"{file}x.tif", *["?"] * 8])
    )
    (entry,) = read_manifest(tmp_path)
    assert reason_of(entry.file)
    assert read_stacks(entry) == []
    with pytest.raises(DataError, match="no such file"):
        read_stacks(replace(entry, file=f"{FOLDER}/x.tif"))


def test_tiles_show_the_most_structure_and_do_not_overlap():
    plane = np.full((300, 260), 0.5, np.float32)
    plane[150:250, 20:120] += texture(100, 100).astype(np.float32) / 400
    plane[10:60, 180:230] += texture(50, 50, seed=1).astype(np.float32) / 4000
    first, second = structured_tiles(plane, (100, 100), 2)
    assert abs(first[0].start - 150) <= 16
    assert abs(first[1].start - 20) <= 16
    rows, columns = second
    assert rows.start <= 60
    assert columns.stop >= 180
    assert structured_tiles(plane, (300, 260), 4) == [(slice(0, 300), slice(0, 260))]
    hits = np.zeros(plane.shape, int)
    for tile in structured_tiles(plane, (100, 100), 9):
        hits[tile] += 1
        assert hits[tile].shape == (100, 100)
    assert hits.max() == 1
    assert tile_shape((600, 90), 384) == (384, 90)


def test_bright_spots_alone_do_not_choose_a_tile():
    plane = np.zeros((200, 200), np.float32)
    plane[20:24, 20:24] = 40
    plane[100:, 100:] = texture(100, 100).astype(np.float32) / 400
    ((rows, columns),) = structured_tiles(plane, (80, 80), 1)
    assert (rows.start >= 96, columns.start >= 96) == (True, True)


def scaled(planes: np.ndarray, low: float, high: float) -> np.ndarray:
    return (planes.astype(np.float64) - low) / (high - low)


def test_bytes_are_the_files_own_wherever_they_fit(tmp_path):
    plane = texture(64, 64)
    wide = plane.astype(np.int32) + 30_000  # 191 steps, of 16 bits
    for data in (plane, wide.astype(np.uint16), (wide - 60_000).astype(np.float32)):
        (stack,) = read_stacks(one(tmp_path, "YX", data))
        codes = encode(stack)
        assert codes.exact
        assert codes.planes.dtype == np.uint8
        steps = np.diff(data[None].astype(int))
        np.testing.assert_array_equal(np.diff(codes.planes.astype(int)), steps)
        found = scaled(codes.planes, codes.low, codes.high)
        np.testing.assert_allclose(found, stack.normalised(), atol=1e-5)
        assert clipped_share(stack, codes) == 0


def test_other_intensities_are_rounded_within_limits(tmp_path):
    data = texture(128, 128).astype(np.float32) ** 2 + 0.5
    data[3, :5] = 1e6  # hot, under 1 in 1000
    (stack,) = read_stacks(one(tmp_path, "YX", data))
    codes = encode(stack)
    assert not codes.exact
    found, true = scaled(codes.planes, codes.low, codes.high), stack.normalised()
    inside = (true > -0.1) & (true < 1.15)
    assert np.abs(found - true)[inside].max() <= 1.25 / 255 / 2 + 1e-6
    assert found.max() == pytest.approx(1.15)
    assert (scaled(np.zeros(1), codes.low, codes.high)) == pytest.approx(-0.1)
    beyond = int((true > 1.15 + 1.25 / 255 / 2).sum())
    assert beyond >= 5
    assert clipped_share(stack, codes) == pytest.approx(beyond / data.size)


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """A corpus of two modalities, of one image and of six."""
    images = {f"{FOLDER}/{n}.tif": ("YX", texture(64, 80, seed=n)) for n in range(6)}
    images["mri/uih_t1_gre_sag/s.tif"] = ("ZYX", texture(3, 50, 400).astype(np.uint16) * 40)
    return write_corpus(tmp_path, images)


def test_packed_stacks_come_back_as_they_were(tmp_path, entries):
    stacks = [stack for stack, _ in pack(entries)]
    sizes = write_packed(stacks, tmp_path / "corpus.npz")
    found = read_packed(tmp_path / "corpus.npz")
    assert set(sizes) == {"mri", "phase_contrast"}
    assert [s.file for s in found] == sorted(s.file for s in stacks)
    for ours, theirs in zip(found, sorted(stacks, key=lambda s: s.file), strict=True):
        np.testing.assert_array_equal(ours.planes, theirs.planes)
        assert replace(ours, planes=theirs.planes) == theirs
    with np.load(tmp_path / "corpus.npz", allow_pickle=False) as file:
        assert file["pixels_mri"].dtype == np.uint8
        assert file["pixels_mri"].size == 3 * 50 * 384
    write_packed(stacks, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "corpus.npz").read_bytes()


def test_training_takes_packed_stacks(tmp_path, entries):
    write_packed([stack for stack, _ in pack(entries)], tmp_path / "corpus.npz")
    stacks = [stack.plane_stack() for stack in read_packed(tmp_path / "corpus.npz")]
    true = np.clip(read_stacks(entries[0])[0].normalised(), -0.1, 1.15)
    found = stacks[0].normalization.apply(stacks[0].data[:, 0])
    assert entries[0].modality == "mri"
    tile = next(
        true[0, :, x : x + 384] for x in range(17)
        if np.abs(true[0, :, x : x + 384] - found[0]).max() < 0.003
    )  # fmt: skip
    assert tile.shape == found[0].shape
    crops = draw_crops(stacks, 8, 48, torch.Generator().manual_seed(0))
    assert crops.shape == (8, 1, 48, 48)
    assert -0.2 < crops.min() < 0.2
    assert 0.8 < crops.max() < 1.2


def test_another_version_is_refused(tmp_path, entries, monkeypatch):
    monkeypatch.setattr("pretrain.packed.VERSION", 0)
    write_packed([stack for stack, _ in pack(entries)], tmp_path / "corpus.npz")
    monkeypatch.undo()
    with pytest.raises(DataError, match="version 0"):
        read_packed(tmp_path / "corpus.npz")


def test_a_twentieth_is_held_out_whatever_else_there_is(tmp_path):
    def some(modality: str, count: int) -> list[Entry]:
        return [Entry(tmp_path, f"{modality}/{n}.tif", modality, *[""] * 5) for n in range(count)]

    many, few = some("many", 100), some("few", HELD_FROM - 1)
    chosen = held_out(many)
    assert len(chosen) == 5
    assert held_out([*few, *many[::-1]]) == chosen
    assert len(held_out(some("four", HELD_FROM))) == 1


def test_few_files_give_more_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SIDE", 50)
    entries = write_corpus(
        tmp_path, {f"{FOLDER}/{n}.tif": ("YX", texture(120, 120, seed=n)) for n in range(2)}
    )
    assert [len(stack.planes) for stack, _ in pack(entries)] == [3, 3]
    monkeypatch.setattr(packing, "FEW_FILES", 1)
    assert [len(stack.planes) for stack, _ in pack(entries)] == [1, 1]


def test_the_command_packs_and_tells(tmp_path, entries, monkeypatch, capsys):
    output = tmp_path / "corpus.npz"
    monkeypatch.setattr("sys.argv", ["pack", "--corpus", str(tmp_path), "-o", str(output)])
    packing.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| mri | 1 | 0 | 1 | 3 | 0.1 |")
    assert lines[3].startswith("| phase_contrast | 6 | 1 | 6 | 6 | 0.0 |")
    assert "6 of 7 stacks without rounding" in lines[-1]
    assert sum(stack.held_out for stack in read_packed(output)) == 1


def test_the_card_names_all_and_refuses_what_is_not_known(tmp_path, entries):
    card = page(entries)
    assert card.startswith("# ")
    assert "7 files of 2 modalities (6 phase_contrast, 1 mri)" in card
    assert f"| phase_contrast | {SHOWS[FOLDER]} | 6 | [rahi-lab/YeaZ-GUI@1d95c1e](" in card
    assert f"- rahi-lab/YeaZ-GUI: {NOTICES['rahi-lab/YeaZ-GUI'].line}." in card
    for wrong in (
        {"licence": "CC BY-NC 4.0"},
        {"licence": "GPL-3"},
        {"source": "someone/else@1234567"},
        {"file": "mri/elsewhere/s.tif"},
    ):
        with pytest.raises(DataError, match="expected"):
            page([*entries, replace(entries[0], **wrong)])


@pytest.mark.shared
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no shared folder beside the checkout")
def test_the_card_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(read_manifest(CORPUS)), (
        "docs/reference/pretrained-data.md is not what benchmarks/pretrain/card.py writes; run it"
    )


@pytest.mark.shared
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no shared folder beside the checkout")
def test_all_that_is_said_of_files_is_of_files_that_are_there():
    entries = read_manifest(CORPUS)
    files = [entry.file for entry in entries]
    for start in (*EXCLUDED, *MISFILED, *DOUBTS, *SHOWS):
        assert any(file.startswith(start) for file in files), start
    used = {entry.modality for entry in entries if not reason_of(entry.file)}
    assert used == {entry.modality for entry in entries}
    assert not {reason for file in files if (reason := reason_of(file)) == ""}


@pytest.mark.shared
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no shared folder beside the checkout")
def test_files_of_every_modality_are_read():
    first = {e.modality: e for e in read_manifest(CORPUS) if not reason_of(e.file)}
    for entry in first.values():
        stacks = read_stacks(entry)
        assert stacks, entry.file
        for stack in stacks:
            planes = stack.normalised()
            assert 0 < planes.mean() < 1
            assert planes.std() > 0.01, entry.file
