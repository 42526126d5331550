"""Directions of an image's axes in a body, against nibabel's."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from isoslice.data.anatomy import axis_codes
from isoslice.data.metadata import as_matrix

UPRIGHT = [
    np.eye(3)[:, order] * signs
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


def matrix(directions, spacing=(0.7, 0.7, 2.8)):
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = (-100, 20, 3)
    return as_matrix(affine.tolist())


def test_letters_of_known_directions():
    assert axis_codes(matrix(np.eye(3))) == "RAS"
    assert axis_codes(matrix(np.diag((-1, -1, 1)))) == "LPS"
    # Sagittal: X runs to the back, Y to the feet, Z to the right.
    sagittal = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    assert axis_codes(matrix(sagittal)) == "PIR"


@pytest.mark.parametrize("directions", UPRIGHT)
def test_upright_and_oblique_are_as_nibabel_has_them(directions):
    orientations = pytest.importorskip("nibabel.orientations")
    rng = np.random.default_rng(0)
    for angle in (0, 10, 25, 40):
        axis = rng.normal(size=3)
        turn = Rotation.from_rotvec(np.deg2rad(angle) * axis / np.linalg.norm(axis)).as_matrix()
        affine = matrix(turn @ directions)
        assert axis_codes(affine) == "".join(orientations.aff2axcodes(np.array(affine)))


def test_an_axis_without_direction():
    affine = np.array(matrix(np.eye(3)))
    affine[:3, 1] = 0
    assert axis_codes(as_matrix(affine.tolist())) is None
    affine[0, 1] = np.nan
    assert axis_codes(as_matrix(affine.tolist())) is None
