"""Which part of a volume a report shows, the places it begins at, and which way round it lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import texture
from isoslice.data.coarse import turned
from isoslice.data.metadata import Metadata, Orientation, as_matrix
from isoslice.evaluation.report import Layer
from isoslice.evaluation.report.crop import Crop, centred, choose_box, sides
from isoslice.evaluation.report.of_predict import prediction_report
from isoslice.evaluation.report.page import html
from isoslice.evaluation.report.viewpoints import doubtful_places, first_place
from report_page import Page, restored_stack, scene_of

shapes = st.tuples(st.integers(2, 400), st.integers(2, 5000), st.integers(2, 5000))


@given(shapes, st.integers(1, 10**7), st.one_of(st.none(), st.integers(2, 12)))
def test_sides_fit_and_use_the_room(
    whole: tuple[int, int, int], limit: int, factor: int | None
) -> None:
    found = sides(whole, limit, factor)
    assert all(1 <= n <= m for n, m in zip(found, whole, strict=True))
    assert np.prod(found) <= limit
    if factor is not None and found[0] > factor:
        assert (found[0] - 1) % factor == 0
    if np.prod(whole) <= limit and factor is None:
        assert found == whole
    if factor is None and limit > 8000:
        # No side could be much longer: a cube's worth of rounding at most.
        assert found == whole or np.prod([n + 1 for n in found]) > 0.9 * limit or whole[0] < 20


@given(shapes, st.integers(2, 12), st.integers(1, 10**6))
def test_the_part_shown_lies_inside_and_begins_at_a_measured_plane(
    whole: tuple[int, int, int], factor: int, limit: int
) -> None:
    depth = (whole[0] - 1) // factor * factor + 1
    whole = (depth, *whole[1:])
    shape = sides(whole, limit, factor)
    box = centred(shape, Crop((0, 0, 0), whole), factor)
    assert all(a >= 0 and a + n <= m for a, n, m in zip(box.start, shape, whole, strict=True))
    if shape[0] > factor:
        assert box.start[0] % factor == 0
        assert (box.start[0] + shape[0] - 1) % factor == 0


def test_the_part_shown_is_where_most_is_to_be_seen_and_little_is_read() -> None:
    volume = np.full((41, 300, 300), 100, np.uint8)
    volume[:, 200:, :100] = texture(41, 100, 100)
    read = []

    def reader(*index: slice) -> np.ndarray:
        part = volume[index]
        read.append(part.size)
        return part

    box = choose_box(reader, volume.shape, 4, 41 * 100 * 100)
    assert box.shape == (41, 100, 100)
    assert box.start == (0, 200, 0)
    assert sum(read) < volume.size / 10


def test_measured_planes_are_marked_where_they_lie() -> None:
    _, restored = restored_stack()
    scene = scene_of(restored.data, factor=4).cut(Crop((6, 0, 0), (20, 40, 48)))
    assert scene.known == (2, 6, 10, 14, 18)  # planes 8, 12, ... of the whole volume
    np.testing.assert_array_equal(scene.volumes[0].voxels, restored.data[6:26])


# Where it begins


def test_places_are_where_doubt_is_highest_and_apart() -> None:
    doubt = np.full((40, 60, 60), 0.5, np.float32)
    for strength, (z, y, x) in enumerate(((30, 10, 50), (8, 45, 12)), 2):
        doubt[z - 4 : z + 5, y - 4 : y + 5, x - 4 : x + 5] = strength
    scene = scene_of(texture(40, 60, 60), more=(Layer("Uncertainty", "uncertainty", doubt),))
    words, places = doubtful_places(scene)
    assert "least certain" in words
    assert [place.at for place in places[:2]] == [(8, 45, 12), (30, 10, 50)]
    assert [place.value for place in places[:2]] == pytest.approx([3, 2])


def test_the_first_place_lies_midway_between_measured_planes() -> None:
    _, restored = restored_stack()
    scene = scene_of(restored.data, factor=4)
    assert first_place(scene)[0] % 4 == 2
    assert (first_place(scene.cut(Crop((6, 0, 0), (20, 40, 48))))[0] + 6) % 4 == 2


def test_of_uneven_planes_the_first_place_is_between_two() -> None:
    _, restored = restored_stack()
    scene = scene_of(restored.data, planes=(0, 4, 12, 32), ratio=8.0)
    variances = {z: restored.data[z].var() for z in (2, 8, 22)}
    assert first_place(scene)[0] == max(variances, key=lambda z: variances[z])


def test_where_slices_run_to_in_a_patient() -> None:
    """As a scanner stores an axial series: X to the left, Y to the back, Z to the head."""
    stack, restored = restored_stack()
    plain = prediction_report(stack, restored)
    assert plain.scene is not None
    assert plain.scene.towards == ()
    assert "XY →" not in Page(html(plain)).text
    affine = as_matrix([[-1, 0, 0, 40], [0, -1, 0, 50], [0, 0, 1, -60], [0, 0, 0, 1]])
    lying = replace(
        restored, metadata=Metadata(orientation=Orientation(sform=affine, sform_code=1))
    )
    report = prediction_report(stack, lying)
    assert report.scene is not None
    assert report.scene.towards == ("S", "P", "L")
    page = Page(html(report))
    for label in ("XY → L ↓ P", "XZ → L ↓ S", "YZ → P ↓ S"):
        assert label in page.text
    assert '"towards":["S","P","L"]' in "".join(page.scripts).replace(" ", "")
    # Coarse along X, which is called Z on the page: its letter goes with the voxels.
    made = {**(restored.provenance or {}), "along": "X"}
    across = prediction_report(turned(stack, "X"), turned(replace(lying, provenance=made), "X"))
    assert across.scene is not None
    assert across.scene.towards == ("S", "P", "L")
