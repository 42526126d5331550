"""Slice profiles in files: text, arrays, images of a point spread function."""

import numpy as np
import pytest
import tifffile

from isoslice import write_volume
from isoslice.data.profile import FWHM, sampled_profile
from isoslice.data.volume import Volume
from isoslice.errors import DataError, IsosliceError, SettingsError
from isoslice.io.profile_file import profile_path, read_profile

Z = [-1.0, 0.0, 1.0, 2.0]
WEIGHTS = [1.0, 4.0, 2.0, 0.5]
EXPECTED = sampled_profile(Z, WEIGHTS, "it")


def bead(deviation=2.0, tail=0.0, background=7.0, planes=41, slope=0.0):
    """A point's image, longer towards later planes by `tail`, on a background."""
    z = np.arange(planes) - (planes - 1) / 2
    along = np.exp(-0.5 * (z / deviation) ** 2) + tail * (z > 0) * np.exp(-np.maximum(z, 0) / 3)
    y = np.arange(15) - 7
    spot = np.exp(-0.5 * (y[:, None] ** 2 + y**2) / 1.5**2)
    around = background + slope * np.arange(planes)
    return (100 * along[:, None, None] * spot + around[:, None, None]).astype(np.float32)


@pytest.mark.parametrize(
    "text",
    [
        "-1 1\n0 4\n1 2\n2 0.5\n",
        "z,weight\n-1,1\n0,4 # the peak\n\n1,2\n2,0.5",
        "# a comment\n2;0.5\n-1;1\n0;4\n1;2\n",
        "\ufeff-1\t1\r\n0\t4\r\n1\t2\r\n2\t0.5\r\n",
    ],
)
def test_text_of_places_and_weights(tmp_path, text):
    (tmp_path / "psf.csv").write_text(text, encoding="utf-8")
    found = read_profile(str(tmp_path / "psf.csv"))
    assert found.profile == EXPECTED
    assert found.unit is None


def test_weights_alone_are_a_step_apart(tmp_path):
    weights = np.array(WEIGHTS, np.float32)
    (tmp_path / "psf.txt").write_text("\n".join(map(str, WEIGHTS)), encoding="utf-8")
    np.save(tmp_path / "psf.npy", weights)
    tifffile.imwrite(tmp_path / "psf.tif", weights[None])
    half = EXPECTED.scaled(0.5)
    for name in ("psf.txt", "psf.npy", "psf.tif"):
        path = tmp_path / name
        assert profile_path(f"{path}:0.5") == path
        found = read_profile(f"{path}:0.5")
        np.testing.assert_allclose(found.profile.edges, half.edges)
        np.testing.assert_allclose(found.profile.weights, half.weights)
        with pytest.raises(DataError, match=rf"got 4 weights.*{name}:0.1"):
            read_profile(str(path))


def test_a_file_may_have_a_colon_in_its_name(tmp_path):
    (tmp_path / "psf:2").write_text("-1 1\n0 4\n1 2\n2 0.5", encoding="utf-8")
    assert read_profile(str(tmp_path / "psf:2")).profile == EXPECTED


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_the_image_of_a_point(tmp_path, slope):
    """Summed over planes, without background; spacing and unit are the file's."""
    stack = Volume(bead(slope=slope), "ZYX", {"Z": 0.1, "Y": 0.05, "X": 0.05}, "micrometer")
    write_volume(tmp_path / "bead.ome.tif", stack)
    found = read_profile(str(tmp_path / "bead.ome.tif"))
    assert found.unit == "micrometer"
    assert found.profile.deviation == pytest.approx(0.2, rel=0.03)
    other = read_profile(f"{tmp_path / 'bead.ome.tif'}:0.3")
    assert other.unit is None
    assert other.profile.deviation == pytest.approx(0.6, rel=0.03)


def test_an_array_of_three_axes_is_taken_for_planes(tmp_path):
    np.save(tmp_path / "bead.npy", bead())
    tifffile.imwrite(tmp_path / "bead.tif", bead())
    for name in ("bead.npy", "bead.tif"):
        found = read_profile(f"{tmp_path / name}:0.5")
        assert found.profile.width == pytest.approx(FWHM, rel=0.03)


def test_a_plane_before_a_point_sees_what_is_beyond_it(tmp_path):
    """A bead whose image is long behind it: planes see far before themselves."""
    np.save(tmp_path / "bead.npy", bead(deviation=1.0, tail=0.5))
    profile = read_profile(f"{tmp_path / 'bead.npy'}:1").profile
    assert -profile.edges[0] > 2 * profile.edges[-1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "got no number"),
        ("a.txt", "# nothing\n", "got no number"),
        ("a.txt", "0 1\n1 x\n", r"'1 x' in line 2"),
        ("a.txt", "0 1\n1\n", r"'1' in line 2"),
        ("a.txt", "0 1 2\n1 1 2\n", "in line 1"),
        ("a.txt", "0 1\n0 nan\n", "in line 2"),
        ("a.txt", "0 1\n", "got 1 samples"),
        ("a.txt", "0 1\n1 -1\n", "subtract the background"),
        ("a.npy", b"no array", r"a\.npy: got .*plain \.npy array"),
        ("a.npy", np.ones((4, 5)), "expected a z-stack of one channel"),
        ("a.npy", np.ones(()), "got an image of shape none"),
        ("a.npy", np.ones((0, 3)), "got an image of shape 0 x 3"),
        ("a.npy", np.array(["a", "b"]), "as numbers"),
        ("a.npy", np.ones(3, complex), "as numbers"),
        ("a.npy", np.ones((2, 9, 5, 5)), "expected a z-stack of one channel"),
        ("a.npy", bead(), "without spacing of its planes"),
        ("a.npy", np.ones((9, 5, 5)), "without spacing"),
    ],
)
def test_what_holds_no_profile_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(IsosliceError, match=message):
        read_profile(str(path))


def test_places_and_a_step_contradict_each_other(tmp_path):
    (tmp_path / "a.txt").write_text("0 1\n1 1\n", encoding="utf-8")
    with pytest.raises(DataError, match="got places along Z and a step of 2"):
        read_profile(f"{tmp_path / 'a.txt'}:2")


def test_a_stack_without_a_point_and_no_file_are_refused(tmp_path):
    np.save(tmp_path / "flat.npy", np.ones((9, 5, 5)))
    with pytest.raises(DataError, match="expected the image of a point within them"):
        read_profile(f"{tmp_path / 'flat.npy'}:1")
    for cut in (bead()[20:], bead()[:21]):  # begins, or ends, in the bead
        np.save(tmp_path / "cut.npy", cut)
        brightest = int(cut.sum(axis=(1, 2)).argmax())
        with pytest.raises(DataError, match=f"brightest at an end, plane {brightest}, .* more"):
            read_profile(f"{tmp_path / 'cut.npy'}:1")
    np.save(tmp_path / "holes.npy", np.full((9, 5, 5), np.nan))
    with pytest.raises(DataError, match="no finite numbers"):
        read_profile(f"{tmp_path / 'holes.npy'}:1")
    with pytest.raises(SettingsError, match=r"expected point, slab.*no file of that name"):
        read_profile(str(tmp_path / "none.txt"))
