"""Layers as stacks and results as layers, without napari: axes, voxel size, units, places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from isoslice.errors import DataError
from isoslice.viewer.messages import Described, Slab
from isoslice.viewer.placement import (
    in_plane,
    layer_axes,
    layer_facts,
    layer_spacing,
    measured_voxels,
    on_scale_of,
    result_scale,
    row_aspect,
    scale_of,
    slab_lines,
    stack_index,
)


def layer(data, **more):
    """What a napari layer says, with its defaults."""
    dimensions = data.ndim - bool(more.get("rgb"))
    return SimpleNamespace(
        **{
            "name": "cells",
            "data": data,
            "scale": [1.0] * dimensions,
            "units": ["pixel"] * dimensions,
            "axis_labels": [f"-{n}" for n in range(dimensions, 0, -1)],
            "multiscale": False,
            "rgb": False,
            "source": SimpleNamespace(path=None),
            **more,
        }
    )


STACK = np.zeros((5, 8, 9), np.uint8)


def test_axes_that_a_layer_names_are_taken_in_its_order():
    assert layer_axes(["Time", "z", "channel", "Y", "x"], (2, 5, 3, 8, 9), "a") == ("TZCYX", True)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 8, 9), "ZYX"),
        ((3, 5, 8, 9), "CZYX"),
        ((7, 5, 8, 9), "TZYX"),
        ((2, 3, 5, 8, 9), "TCZYX"),
    ],
)
def test_other_axes_are_guessed_and_said_to_be(shape, axes):
    labels = [f"-{n}" for n in range(len(shape), 0, -1)]
    assert layer_axes(labels, shape, "a") == (axes, False)


def test_a_label_twice_names_nothing():
    assert layer_axes(["z", "z", "x"], (5, 8, 9), "a") == ("ZYX", False)


def test_a_plane_is_no_stack():
    with pytest.raises(DataError, match="2 dimensions, expected a z-stack"):
        layer_facts(layer(STACK[0]))


def test_naparis_defaults_say_nothing_of_the_voxel_size():
    facts = layer_facts(layer(STACK))
    assert facts.voxel_size is None
    assert facts.unit is None
    assert not facts.lazy


def test_a_scale_without_unit_is_a_voxel_size_without_unit():
    assert layer_spacing("ZYX", (4, 1, 1), ["pixel"] * 3) == ({"Z": 4.0, "Y": 1.0, "X": 1.0}, None)


def test_lengths_in_several_units_become_those_of_x():
    spacing, unit = layer_spacing("TZYX", (9, 1, 250, 250), ["second", "µm", "nm", "nm"])
    assert (spacing, unit) == ({"Z": 1000.0, "Y": 250.0, "X": 250.0}, "nanometer")


def test_a_mirrored_layer_has_a_voxel_size():
    assert layer_spacing("ZYX", (-4, 1, 1), ["nm"] * 3)[0]["Z"] == 4


def test_colours_are_channels():
    facts = layer_facts(layer(np.zeros((5, 8, 9, 3), np.uint8), rgb=True))
    assert (facts.axes, facts.shape) == ("ZYXC", (5, 8, 9, 3))


def test_resolutions_are_one_stack_the_finest():
    levels = [STACK, STACK[:, ::2, ::2]]
    facts = layer_facts(_levels(levels))
    assert facts.shape == STACK.shape
    assert facts.nbytes == STACK.nbytes


def _levels(levels):
    made = layer(levels[0], multiscale=True)
    made.data = levels
    return made


def test_the_file_of_a_layer_is_known():
    source = SimpleNamespace(path="/a/b.tif")
    assert layer_facts(layer(STACK, source=source)).path == Path("/a/b.tif")


def test_measured_planes_stay_where_they_were():
    """Oracle: world coordinates of measured plane i and of output plane i k, by hand."""
    scale, translate = [5.0, 1.2, 0.3, 0.3], np.array([0, 7.0, -1, 2])
    made = result_scale("TZYX", scale, "Z", 4)
    for plane in range(6):
        before = np.multiply([1, plane, 3, 5], scale) + translate
        after = np.multiply([1, plane * 4, 3, 5], made) + translate
        np.testing.assert_allclose(after, before)


def test_a_layer_shown_at_its_voxel_size_keeps_the_time_step():
    facts = layer_facts(layer(np.zeros((7, 5, 8, 9), np.uint8)))
    assert scale_of(facts, (4, None, 0.5), [9, 1, 1, 1]) == [9, 4, 1, 0.5]


@pytest.mark.parametrize(
    ("spacing", "positions", "profile"),
    [
        ({}, (0.0, 3.0, 9.0), "slab:4.5"),  # napari has read none: the file's hold
        ({"Z": 3.0}, (0.0, 3.0, 9.0), "slab:4.5"),
        ({"Z": 3000.0}, (0.0, 3000.0, 9000.0), "slab:4500"),  # in nanometres
        ({"Z": 2.0}, (0.0, 2.0, 6.0), "slab:3"),
    ],
)
def test_what_a_file_says_of_its_planes_is_on_the_layers_scale(spacing, positions, profile):
    facts = layer_facts(layer(np.zeros((3, 8, 9), np.uint8)))
    size, places = (3.0, 1.0, 1.0), (0.0, 3.0, 9.0)
    found = Described((3, 8, 9), "ZYX", size, "micrometer", places, "slab:4.5")
    scaled = on_scale_of(replace(facts, spacing=spacing), found)
    assert (scaled.positions, scaled.profile) == (positions, profile)
    plain = Described((3, 8, 9), "ZYX", size, "micrometer")
    assert on_scale_of(replace(facts, spacing=spacing), plain) == plain


def test_places_beyond_a_layer_are_its_ends():
    assert stack_index("ZYX", (-3, 3.6, 99), (5, 8, 9)) == {"Z": 0, "Y": 4, "X": 8}


def test_slices_are_lines_in_the_plane_that_they_cut():
    def slab(axes: str, first: tuple[int, int], width: int) -> Slab:
        rows = np.zeros((9, width))
        return Slab(axes, rows, rows[None], np.ones(9, np.bool_), first)

    across, down = slab("XZ", (4, 7), 5), slab("YZ", (2, 6), 3)
    assert slab_lines([across, down]).tolist() == [[[7, 4], [0, 4]], [[2, 6], [2, 0]]]
    assert not len(slab_lines([slab("ZX", (0, 0), 5)]))


def test_an_oblique_layer_has_no_place_in_the_plane():
    scale, turned = np.diag([3.0, 2.0, 2.0]), np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    matrix = in_plane(lambda at: scale @ at + [1, 5, 6], 3)
    assert matrix is not None
    assert matrix.tolist() == [[2, 0, 5], [0, 2, 6], [0, 0, 1]]
    assert in_plane(lambda at: turned @ at, 3) is None


def test_measured_shares_lie_along_their_axis():
    measured = np.array([[[1, 0, 1], [1, 0, 0]]], np.float32)  # (T, C, planes)
    assert measured_voxels(measured[:, :1], "ZYX", "Z").shape == (3, 1, 1)
    shares = measured_voxels(measured, "YCXZ", "X")
    assert shares.shape == (1, 2, 3, 1)
    np.testing.assert_array_equal(shares[0, :, :, 0], measured[0])


def test_a_colour_is_measured_where_all_its_channels_are():
    measured = np.array([[[1, 0, 1], [1, 0, 0]]], np.float32)
    assert measured_voxels(measured, "ZYX", "Z").ravel().tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("size", "factor", "along", "aspect"),
    [
        (None, 4, None, 1),
        ((4, 1, 1), None, None, 1),
        ((4, 1, 1), 2, None, 2),
        ((1, 1, 6), 3, "X", 2),
    ],
)
def test_rows_are_shown_as_high_as_they_are(size, factor, along, aspect):
    assert row_aspect(size, factor, along) == pytest.approx(aspect)
