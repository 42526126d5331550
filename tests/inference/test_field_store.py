"""What every store of fields promises: one suite that the tests of each store inherit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from isoslice.data.box import SlicePlane, nth_block
from isoslice.errors import OutputError
from isoslice.inference.engine.disk import DiskStore
from isoslice.inference.fields import FieldStore, Layout, MemoryStore

SHAPE = 5, 13, 11
DIRECTIONS: dict[str, SlicePlane] = {"first": "XZ", "second": "YZ"}


def layout(slabs: tuple[int, int], dtype: torch.dtype = torch.float16) -> Layout:
    return Layout(2, SHAPE, dtype, slabs, (4, 6, 5))


def random_field(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *SHAPE, generator=generator).half()


class StoreTests:
    """A store is what `make` returns."""

    @pytest.fixture(params=[(13, 11), (4, 5), (1, 1)])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> FieldStore:
        return self.make(layout(request.param), tmp_path)

    def make(self, cut: Layout, folder: Path) -> FieldStore:
        raise NotImplementedError

    def fill(self, store: FieldStore, name: str, values: torch.Tensor) -> None:
        """Write all slabs of a field, each as a pass does."""
        plane = DIRECTIONS[name]
        for index in range(len(store.layout.slab_ranges(plane))):
            slab = store.start(None, plane, index, keep=False)
            slab += values[(slice(None), *store.layout.slab(plane, index))]
            store.write(name, plane, index, slab)

    def test_a_slab_begins_with_zeros(self, store: FieldStore) -> None:
        slab = store.start(None, "XZ", 0, keep=False)
        assert slab.dtype == torch.float16
        assert slab.shape == (2, 5, store.layout.slabs[0], 11)
        assert not slab.any()

    @pytest.mark.parametrize("name", DIRECTIONS)
    def test_what_slabs_hold_is_read_in_any_part(self, store: FieldStore, name: str) -> None:
        values = random_field(0)
        self.fill(store, name, values)
        for part in (np.s_[0:5, 0:13, 0:11], np.s_[1:3, 2:9, 4:5], np.s_[4:5, 12:13, 0:11]):
            read = store.read(name, part)
            assert read.dtype == torch.float32
            assert torch.equal(read, values[(slice(None), *part)].float())
            read += 1  # it is a copy
            assert torch.equal(store.read(name, part), values[(slice(None), *part)].float())

    @pytest.mark.parametrize("keep", [True, False])
    def test_passes_take_turns(self, store: FieldStore, keep: bool) -> None:
        """Slabs of one direction are read as slabs of the other."""
        values = random_field(1)
        self.fill(store, "first", values)
        for index in range(len(store.layout.slab_ranges("YZ"))):
            slab = store.start("first", "YZ", index, keep=keep)
            store.write("second", "YZ", index, slab.mul_(2))
        assert torch.equal(store.read("second", np.s_[0:5, 0:13, 0:11]), 2 * values.float())
        if keep:
            assert torch.equal(store.read("first", np.s_[0:5, 0:13, 0:11]), values.float())

    def test_blocks_are_read_in_any_part(self, store: FieldStore) -> None:
        values = random_field(2).float().numpy()
        for index in range(store.layout.blocks):
            box = nth_block(index, SHAPE, store.layout.block)
            store.write_block("squares", index, values[(slice(None), *box.slices())])
        for part in (np.s_[0:5, 0:13, 0:11], np.s_[1:5, 5:7, 0:1], np.s_[3:4, 3:13, 4:11]):
            read = store.read_blocks("squares", part)
            np.testing.assert_array_equal(read, values[(slice(None), *part)])
            read += 1
            np.testing.assert_array_equal(
                store.read_blocks("squares", part), values[(slice(None), *part)]
            )

    def test_numbers_are_exact(self, store: FieldStore) -> None:
        numbers = {"total": [0.1 + 0.2, 1 / 3], "measured": True}
        store.write_numbers("scale", numbers)
        store.write_numbers("sums", [1e-300], 3)
        assert store.numbers("scale") == numbers
        assert store.numbers("sums", 3) == [1e-300]

    def test_what_is_not_needed_is_forgotten(self, store: FieldStore) -> None:
        self.fill(store, "first", random_field(3))
        self.fill(store, "second", random_field(4))
        store.write_numbers("gains", [1.0])
        store.keep_only({"second"})
        assert torch.equal(store.read("second", np.s_[0:5, 0:13, 0:11]), random_field(4).float())
        with pytest.raises((KeyError, OutputError)):
            store.read("first", np.s_[0:5, 0:13, 0:11])
        assert store.numbers("gains") == [1.0]


class TestMemoryStore(StoreTests):
    def make(self, cut: Layout, folder: Path) -> FieldStore:
        return MemoryStore(cut)

    def test_a_field_that_is_not_needed_any_more_is_changed_in_place(self) -> None:
        store = MemoryStore(layout((13, 11)))
        self.fill(store, "first", random_field(0))
        kept = store.start("first", "YZ", 0, keep=True)
        taken = store.start("first", "YZ", 0, keep=False)
        assert kept.data_ptr() != taken.data_ptr()
        with pytest.raises(KeyError):
            store.start("first", "YZ", 0, keep=False)


class TestDiskStore(StoreTests):
    def make(self, cut: Layout, folder: Path) -> FieldStore:
        return DiskStore(cut, folder / "fields", DIRECTIONS)

    def test_files_are_told_and_whole(self, tmp_path: Path) -> None:
        store = self.make(layout((4, 5)), tmp_path)
        slab = store.start(None, "XZ", 3, keep=False)
        ((path, size),) = store.write("first", "XZ", 3, slab).items()
        assert path.stat().st_size == size == 2 * 2 * 5 * 1 * 11
        ((path, size),) = store.write_numbers("gains", [0.5]).items()
        assert path.stat().st_size == size

    def test_damage_is_told(self, tmp_path: Path) -> None:
        store = self.make(layout((4, 5)), tmp_path)
        self.fill(store, "first", random_field(0))
        (tmp_path / "fields" / "first" / "000001").write_bytes(b"short")
        with pytest.raises(OutputError, match="begin anew"):
            store.read("first", np.s_[0:5, 0:13, 0:11])
        store.write_numbers("gains", [0.5])
        (tmp_path / "fields" / "gains.json").write_text("{", encoding="utf-8")
        with pytest.raises(OutputError, match="begin anew"):
            store.numbers("gains")
