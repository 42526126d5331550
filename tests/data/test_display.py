from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.exposure import equalize_hist

from isoslice.data.display import SRH_BITS, histogram_equalize, srh_colours
from isoslice.errors import DataError, SettingsError

#: What the code released with the paper makes of a random image.
FIXTURE = Path(__file__).parents[1] / "data" / "histogram_equalization.npz"

images = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).beta(2, 5, shape).astype(np.float32)


def test_equals_the_released_code_exactly() -> None:
    with np.load(FIXTURE) as data:
        given, expected = data["hist_in"], data["hist_out"]
    np.testing.assert_array_equal(histogram_equalize(given), expected)
    np.testing.assert_array_equal(srh_colours(given), expected)
    np.testing.assert_array_equal(histogram_equalize(given, (7.5, 8, 8)), expected)


@given(images)
def test_any_finite_image_gives_colours(values: np.ndarray) -> None:
    colours = histogram_equalize(values)
    assert colours.dtype == np.uint8
    assert colours.shape == (*values.shape[1:], len(values))
    for channel, shown in zip(values, np.moveaxis(colours, -1, 0), strict=True):
        assert shown[channel == channel.min()].max() == 0
        order = np.argsort(channel, axis=None)
        assert np.all(np.diff(shown.ravel()[order].astype(int)) >= 0)


def test_constant_channel_is_black_and_leaves_the_others_alone() -> None:
    values = image(3, 20, 20)
    expected = histogram_equalize(values)
    values[1] = 0.3
    colours = histogram_equalize(values)
    assert np.all(colours[..., 1] == 0)
    np.testing.assert_array_equal(colours[..., [0, 2]], expected[..., [0, 2]])


def test_channels_reach_the_top_of_their_bits() -> None:
    assert SRH_BITS == (7.5, 8.0, 8.0)
    np.testing.assert_array_equal(srh_colours(image(3, 64, 64)).max((0, 1)), [180, 255, 255])
    np.testing.assert_array_equal(histogram_equalize(image(2, 64, 64)).max((0, 1)), [255, 255])
    np.testing.assert_array_equal(
        histogram_equalize(image(2, 64, 64), (4, 6)).max((0, 1)), [15, 63]
    )


def test_close_to_plain_equalisation_where_the_background_is_small() -> None:
    values = image(1, 256, 256)
    values[0, 0, 0] = 0
    oracle = 255 * equalize_hist(values[0], nbins=256)
    assert np.abs(histogram_equalize(values)[..., 0] - oracle).max() < 5


@given(st.floats(0.01, 100), st.integers(0, 50))
def test_brightness_and_contrast_hardly_matter(scale: float, seed: int) -> None:
    values = image(3, 16, 16, seed=seed)
    difference = histogram_equalize(values * np.float32(scale)).astype(int) - histogram_equalize(
        values
    )
    # Rounding may push a value over the edge of a bin, no further.
    assert (np.abs(difference) > 6).mean() == 0


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(DataError, match=r"got an image of shape \(8, 8\), expected \(C, H, W\)"):
        histogram_equalize(np.zeros((8, 8)))
    with pytest.raises(DataError, match="shape"):
        histogram_equalize(np.zeros((3, 0, 8)))
    with pytest.raises(DataError, match="NaN"):
        histogram_equalize(np.full((3, 4, 4), np.nan))
    with pytest.raises(DataError, match=r"expected \(3, H, W\).*srh_channels"):
        srh_colours(image(2, 4, 4))


@pytest.mark.parametrize("bits", [(8, 8), (0.5, 8, 8), (8, 8, 9), (8, 8, float("nan"))])
def test_bits_out_of_range_are_refused(bits: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="expected one number from 1 to 8 per channel"):
        histogram_equalize(image(3, 4, 4), bits)
