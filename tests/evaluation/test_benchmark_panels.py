"""Figures of the benchmark: every panel shows its array, pixel by pixel, and no text overlaps."""

import sys

import imageio.v3 as iio
import numpy as np
import pytest

from conftest import texture
from isoslice.errors import DataError, OutputError, SettingsError
from isoslice.evaluation.benchmark import canvas, panels
from isoslice.evaluation.benchmark.canvas import Page, RowBlock, compose, wrap
from isoslice.evaluation.benchmark.panels import picture, planes, rows_figure, volume_figure

pytest.importorskip("matplotlib")

WINDOW = (0.0, 255.0)


def volume(seed, depth=9):
    return np.random.default_rng(seed).integers(1, 255, (1, depth, 24, 20)).astype(np.float32)


def image(seed):
    return volume(seed)[0, :1]


def positions(page, patch):
    """Corners (y, x) at which `page` shows `patch`, in order."""
    data, row, found = page.tobytes(), patch[0].tobytes(), []
    at = data.find(row)
    while at >= 0:
        y, x = divmod(at // 3, page.shape[1])
        if np.array_equal(page[y : y + patch.shape[0], x : x + patch.shape[1]], patch):
            found.append((y, x))
        at = data.find(row, at + 1)
    return found


def enlarged(shown, zoom):
    return picture(shown, WINDOW).repeat(zoom, axis=0).repeat(zoom, axis=1)


def test_every_plane_of_every_volume_is_where_it_belongs(tmp_path):
    volumes = {
        factor: {"truth": volume(factor, depth), "ours": volume(factor + 1, depth)}
        for factor, depth in ((4, 9), (8, 17))
    }
    volume_figure(tmp_path / "a.png", volumes, (3, 10, 5), WINDOW)
    page = iio.imread(tmp_path / "a.png")[..., :3]
    tops, lefts = [], []
    for methods in volumes.values():
        for name, voxels in methods.items():
            for plane in planes(voxels, (3, 10, 5)):
                # 20 wide becomes 160, the least; XY and XZ are 20 wide, YZ is 24.
                ((top, left),) = positions(page, enlarged(plane, 7))
                tops.append(top)
                lefts.append((name, left))
    # Rows of both methods at equal heights, columns of both scales below each other.
    assert tops[:3] == tops[3:6] == sorted(tops[:3])
    assert tops[6:9] == tops[9:] == sorted(tops[6:9])
    assert tops[6] > tops[5]
    assert len(set(lefts)) == 2


def test_planes():
    voxels = volume(0)
    xy, xz, yz = planes(voxels, (3, 10, 5))
    assert xy.shape == (1, 24, 20)
    assert xz.shape == (1, 9, 20)
    assert yz.shape == (1, 9, 24)
    assert xy[0, 10, 5] == xz[0, 3, 5] == yz[0, 3, 10] == voxels[0, 3, 10, 5]


def test_rows_show_truth_input_and_results(tmp_path):
    truth = [image(1), image(2)]
    results = {f: {"linear": [image(10 * f + i) for i in range(2)]} for f in (2, 4)}
    sparse = [np.full_like(t, np.nan) for t in truth]
    for full, t in zip(sparse, truth, strict=True):
        full[:, ::4] = t[:, ::4]
    inputs = {2: [t[:, ::2] for t in truth], 4: sparse}
    rows_figure(tmp_path / "a.png", truth, inputs, results, window=WINDOW)
    page = iio.imread(tmp_path / "a.png")[..., :3]
    halved = np.zeros_like(truth[0])
    halved[:, ::2] = truth[0][:, ::2]
    quartered = np.zeros_like(truth[0])
    quartered[:, ::4] = truth[0][:, ::4]
    row = [truth[0], halved, results[2]["linear"][0], quartered, results[4]["linear"][0]]
    found = [positions(page, enlarged(shown, 8)) for shown in row]
    assert [len(places) for places in found] == [1] * 5
    assert len({y for ((y, _),) in found}) == 1
    assert [x for ((_, x),) in found] == sorted(x for ((_, x),) in found)
    ((below, _),) = positions(page, enlarged(truth[1], 8))
    assert below == found[0][0][0] + 24 * 8 + canvas.GAP


def test_wide_rows_put_the_factors_below_each_other(tmp_path):
    names = [f"method {i}" for i in range(panels.MAX_COLUMNS // 2)]
    truth = [image(0)]
    results = {f: {n: [image(100 * f + i)] for i, n in enumerate(names)} for f in (2, 4)}
    results[4] = dict(reversed(results[4].items()))  # the order is that of the first factor
    rows_figure(tmp_path / "a.png", truth, dict.fromkeys((2, 4), truth), results, window=WINDOW)
    page = iio.imread(tmp_path / "a.png")[..., :3]
    assert len(positions(page, enlarged(truth[0], 8))) == 4  # truth and input, twice
    for name in names:
        ((y2, x2),) = positions(page, enlarged(results[2][name][0], 8))
        ((y4, x4),) = positions(page, enlarged(results[4][name][0], 8))
        assert x2 == x4
        assert y2 < y4


def test_picture():
    shown = picture(np.array([[[-1.0, 0.0, 5.0], [10.0, 20.0, np.nan]]]), (0, 10))
    assert shown[..., 0].tolist() == [[0, 0, 128], [255, 255, 0]]
    assert (shown == shown[..., :1]).all()
    three = picture(np.stack([np.full((1, 2), v) for v in (0.0, 5.0, 10.0)]), (0, 10))
    assert three.tolist() == [[[0, 128, 255]] * 2]


def test_own_colours():
    def red(shown):
        assert np.isfinite(shown).all()
        return np.stack([shown[0], 0 * shown[0], 0 * shown[0]], axis=-1).astype(np.uint8)

    two = np.array([[[7.0, np.nan]], [[1.0, 1.0]]])
    assert picture(two, (0, 1), red).tolist() == [[[7, 0, 0], [0, 0, 0]]]
    with pytest.raises(DataError, match="2 channels"):
        picture(two, (0, 1))
    with pytest.raises(DataError, match="uint8"):
        picture(two, (0, 1), lambda shown: shown[0])


def test_by_default_the_truth_alone_sets_the_window(tmp_path):
    truth, other = texture(9, 20, 20)[None], 1e6 * np.ones((1, 9, 20, 20))
    volume_figure(tmp_path / "a.png", {4: {"truth": truth, "other": other}}, (1, 2, 3))
    page = iio.imread(tmp_path / "a.png")[..., :3]
    low, high = np.percentile(truth, (0.5, 99.7))
    patch = picture(truth[:, 1], (low, high)).repeat(8, axis=0).repeat(8, axis=1)
    assert len(positions(page, patch)) == 1


def test_long_names_do_not_overlap():
    names = ("truth", "a rather long name of a method, blur 1.5", "snake_case_name_without_spaces")
    black = np.zeros((8, 16, 3), np.uint8)
    rows = tuple((name, (black,) * 3) for name in ("XY", "XZ"))
    page = Page(names, ("", "4x", "4x"), (RowBlock("scale one", rows), RowBlock("2", rows)))
    pixels, words = compose(page, canvas.text_width)
    figure = canvas._draw(pixels, words)
    boxes = [text.get_window_extent() for text in figure.texts]
    assert len(boxes) == 3 + 1 + 4 + 2
    height, width = pixels.shape[:2]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:i])
        # And below the words there is only white.
        behind = pixels[height - int(box.y1) : height - int(box.y0), int(box.x0) : int(box.x1)]
        assert (behind == 255).all()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("", []),
        ("linear", ["linear"]),
        ("cubic spline two", ["cubic", "spline two"]),
        ("MSDSR (z-direction)", ["MSDSR", "(z-", "direction)"]),
        ("posterior_sampling x", ["posterior_", "sampling x"]),
        ("abcdefghijklmno", ["abcdefghij", "klmno"]),
    ],
)
def test_wrap(name, lines):
    assert wrap(name, 10, len) == lines


def test_names_are_no_formulas(tmp_path):
    volume_figure(tmp_path / "a.png", {"$x": {"$\\bad$": volume(0)}}, (1, 1, 1))
    assert (tmp_path / "a.png").is_file()


def test_a_missing_method_is_named(tmp_path):
    both = {"truth": volume(0), "ours": volume(1)}
    with pytest.raises(DataError, match="8x: got no ours"):
        volume_figure(tmp_path / "a.png", {4: both, 8: {"truth": volume(0)}}, (1, 1, 1))
    with pytest.raises(DataError, match="8x: got ours besides"):
        volume_figure(tmp_path / "a.png", {4: {"truth": volume(0)}, 8: both}, (1, 1, 1))
    truth = [image(0)]
    with pytest.raises(DataError, match="4x: got no ours"):
        rows_figure(tmp_path / "a.png", truth, {2: truth, 4: truth}, {2: {"ours": truth}, 4: {}})
    with pytest.raises(DataError, match="inputs for 2x and results for 2x, 4x"):
        rows_figure(tmp_path / "a.png", truth, {2: truth}, {2: {}, 4: {}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("volumes", "at", "window", "message"),
    [
        ({}, (0, 0, 0), None, "no volumes"),
        ({4: {"truth": volume(0)[0]}}, (0, 0, 0), None, "expected \\(C, Z, Y, X\\)"),
        ({4: {"truth": volume(0), "a": volume(0, 8)}}, (0, 0, 0), None, "a at 4x: got shape"),
        ({4: {"truth": volume(0)}}, (9, 0, 0), None, "got planes at \\(9, 0, 0\\)"),
        ({4: {"truth": volume(0)}}, (0, 0, 0), (1, 1), "lower end first"),
        ({4: {"truth": volume(0) * np.nan}}, (0, 0, 0), None, "finite"),
    ],
)
def test_volumes_that_do_not_fit_are_refused(tmp_path, volumes, at, window, message):
    with pytest.raises(DataError, match=message):
        volume_figure(tmp_path / "a.png", volumes, at, window)


def test_images_that_do_not_fit_are_refused(tmp_path):
    truth = [image(0), image(1)]
    with pytest.raises(DataError, match="ours at 2x: got 1 images, expected 2"):
        rows_figure(tmp_path / "a.png", truth, {2: truth}, {2: {"ours": truth[:1]}})
    with pytest.raises(DataError, match=r"input at 4x: got shape \(1, 5, 20\)"):
        rows_figure(tmp_path / "a.png", truth, {4: [t[:, :5] for t in truth]}, {4: {}})
    with pytest.raises(DataError, match="no images"):
        rows_figure(tmp_path / "a.png", [], {}, {})


def test_a_picture_is_not_overwritten_unasked(tmp_path):
    (tmp_path / "a.png").write_text("mine", encoding="utf-8")
    volumes = {4: {"truth": volume(0)}}
    with pytest.raises(OutputError, match="exists"):
        volume_figure(tmp_path / "a.png", volumes, (1, 1, 1))
    assert (tmp_path / "a.png").read_text(encoding="utf-8") == "mine"
    volume_figure(tmp_path / "a.png", volumes, (1, 1, 1), overwrite=True)
    assert iio.imread(tmp_path / "a.png").ndim == 3


def test_without_matplotlib_its_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SettingsError, match=r"run: python -m pip install matplotlib$"):
        volume_figure(tmp_path / "a.png", {4: {"truth": volume(0)}}, (1, 1, 1))
