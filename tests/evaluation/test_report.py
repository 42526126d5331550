"""Reports without a browser: what is cut, packed, drawn and escaped."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import texture
from isoslice.data.volume import VoxelSize
from isoslice.errors import OutputError
from isoslice.evaluation import report
from isoslice.evaluation.figures import round_length
from isoslice.evaluation.report import (
    Advice,
    Layer,
    Picture,
    Plot,
    Report,
    Scene,
    Table,
    write_report,
)
from isoslice.evaluation.report.crop import Crop, centred, choose_box, sides
from isoslice.evaluation.report.encode import (
    VIRIDIS,
    as_bytes,
    coloured,
    fitted,
    nifti,
    png,
    windows,
)
from isoslice.evaluation.report.of_predict import prediction_report
from isoslice.evaluation.report.page import html
from isoslice.evaluation.report.pictures import scale_bar
from isoslice.evaluation.report.svg import Line, line_plot, ticks
from isoslice.evaluation.report.text import embedded_json
from isoslice.evaluation.report.viewpoints import doubtful_places, first_place
from report_page import Page, restored_stack

shapes = st.tuples(st.integers(2, 400), st.integers(2, 5000), st.integers(2, 5000))


def scene_of(voxels: np.ndarray, **others: Any) -> Scene:
    whole = voxels.shape
    volumes = (Layer("Restored", "restored", voxels), *others.pop("more", ()))
    return Scene(volumes, VoxelSize(8, 8, 8), "nm", Crop((0, 0, 0), whole), whole, **others)


# The part that is shown


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


# Bytes


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_levels_span_the_window_and_are_cut_off_beyond(low: float, width: float) -> None:
    values = low + width * np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    assert as_bytes(values, (low, low + width)).tolist()[:2] == [0, 0]
    assert as_bytes(values, (low, low + width)).tolist()[3:] == [255, 255]
    assert as_bytes(values, (low, low + width))[2] in (127, 128)


def test_a_packed_volume_is_a_nifti_image_with_its_values() -> None:
    nibabel = pytest.importorskip("nibabel")
    values = texture(5, 6, 7, dtype="float32")
    window = (10.0, 200.0)
    file = nifti(as_bytes(values, window), VoxelSize(16.0, 8.0, 8.0), window)
    image = nibabel.Nifti1Image.from_bytes(file)
    np.testing.assert_allclose(image.get_fdata().T, values, atol=190 / 255 / 2 + 1e-3)
    assert image.header.get_zooms() == (1, 1, 2)
    # Rows and planes run downwards: the first voxel is the highest along both.
    np.testing.assert_allclose(image.affine @ [0, 0, 0, 1], [0, 5, 8, 1])
    np.testing.assert_allclose(image.affine @ [6, 5, 4, 1], [6, 0, 0, 1])


def test_a_picture_comes_back_as_it_was() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)
    np.testing.assert_array_equal(iio.imread(io.BytesIO(png(levels))), levels)
    painted = coloured(levels)
    np.testing.assert_array_equal(iio.imread(io.BytesIO(png(painted))), painted)


def test_colours_get_brighter_evenly() -> None:
    ramp = coloured(np.arange(256, dtype=np.uint8)[None])[0].astype(float)
    linear = np.where(
        ramp / 255 <= 0.04045, ramp / 255 / 12.92, ((ramp / 255 + 0.055) / 1.055) ** 2.4
    )
    y = linear @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(y) - 16
    steps = np.diff(lightness[::32])
    assert (steps > 5).all()
    assert steps.max() / steps.min() < 1.6
    assert ramp[0].tolist() == list(VIRIDIS[0])
    assert ramp[-1].tolist() == list(VIRIDIS[-1])


@given(st.integers(20_000, 300_000))
def test_packed_volumes_fit_the_budget_and_use_most_of_it(budget: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (33, 80, 80), np.uint8)
    scene, _, found = fitted(scene_of(noise, factor=4), budget)
    size = sum(map(len, found.values()))
    assert size <= budget
    assert size > 0.6 * min(budget, noise.size * 4 / 3)
    start, shape = scene.box.start, scene.box.shape
    np.testing.assert_array_equal(scene.volumes[0].voxels, noise[scene.box.slices])
    assert start[0] % 4 == 0
    assert (shape[0] - 1) % 4 == 0
    packed = gzip.decompress(base64.b64decode(found["Restored"]))
    assert len(packed) == 352 + scene.box.voxels


@pytest.mark.slow
def test_a_page_of_four_noisy_volumes_of_256_cubed_stays_below_25_megabytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (256, 256, 256), np.uint8)
    more = tuple(
        Layer(role, role, np.roll(noise, n, axis=n))  # type: ignore[arg-type]
        for n, role in enumerate(("input", "linear", "uncertainty"))
    )
    path = tmp_path / "noise.html"
    write_report(path, Report("noise", "predict", "", scene=scene_of(noise, more=more)))
    assert 15e6 < path.stat().st_size < 25e6


def test_one_window_for_intensities_and_one_from_zero_for_doubt() -> None:
    truth = Layer("Truth", "truth", np.linspace(50, 150, 4 * 5 * 6).reshape(4, 5, 6))
    wild = np.full((4, 5, 6), 1000.0)
    doubt = Layer("Uncertainty", "uncertainty", np.full((4, 5, 6), 7.0))
    scale = windows(scene_of(wild, more=(truth, doubt)))
    assert scale.grey == pytest.approx((50, 150), abs=1)
    assert scale.coloured == pytest.approx((0, 7))


# Places and plots


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


@given(st.floats(1e-9, 1e9))
def test_round_lengths_are_the_longest_that_fit(at_most: float) -> None:
    found = round_length(at_most)
    assert 0.39 * at_most <= found <= at_most * (1 + 1e-6)
    assert f"{found:.0e}"[0] in "125"
    assert found == pytest.approx(float(f"{found:.0e}"))


@pytest.mark.parametrize(
    ("width", "unit", "label"),
    [(2000.0, "nm", "500 nm"), (118.0, "µm", "20 µm"), (3.1, "mm", "1 mm")],
)
def test_scale_bars_are_round_and_as_long_as_they_say(width: float, unit: str, label: str) -> None:
    bar = scale_bar(width, unit)
    assert bar.label == label
    assert bar.share * width == pytest.approx(float(label.split()[0]))


@given(st.floats(-1e3, 1e3), st.floats(1e-2, 1e6))
def test_ticks_are_few_even_and_inside(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 7
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in found)
    assert np.ptp(np.diff(found)) <= 1e-6 * width + 1e-9 * abs(low)


def test_a_plot_has_points_where_they_belong_and_leaves_out_what_is_no_number() -> None:
    x = np.array([0.0, 1.0, 2.0])
    line = Line("truth", "a", x, np.array([0.0, np.nan, 10.0]))
    svg = line_plot(Plot([line], "<x>", "y", y_range=(0.0, 10.0)), '"')
    (path,) = re.findall(r'class="line truth" d="M([^"]+)"', svg)
    (x0, y0), (x1, y1) = (map(float, point.split()) for point in path.split("L"))
    assert x0 < x1
    assert y0 > y1  # upwards is more
    assert "&lt;x&gt;" in svg
    assert "<x>" not in svg


# The page


def test_long_tables_are_folded_and_drawn() -> None:
    numbers = np.arange(30.0)
    plot = Plot((Line("linear", "<l>", numbers, numbers), Line("restored", "r", numbers, -numbers)),
                "plane", "PSNR (dB)")  # fmt: skip
    rows = tuple((str(number), "1") for number in range(30))
    long, short = Table("Long", ("", "a"), rows, plot=plot), Table("Short", ("", "a"), rows[:5])
    text = html(Report("t", "check", "s", tables=(long, short)))
    names = [tag for tag, _ in Page(text).tags]
    assert names.count("details") == names.count("svg") == 1
    assert names.count("tr") == 1 + 30 + 1 + 5
    assert "<summary>All 30 rows</summary>" in text
    assert "&lt;l&gt;" in text
    assert "PSNR (dB)" in text


def test_fine_detail_is_compared_where_voxels_are_cubes() -> None:
    voxels = texture(24, 30, 30)
    for size, compared in ((VoxelSize(8, 8, 8), True), (VoxelSize(32, 8, 8), False)):
        shown = (Layer("Restored", "restored", voxels),)
        scene = Scene(shown, size, "nm", Crop((0, 0, 0), voxels.shape), voxels.shape)
        text = html(Report("t", "check", "s", scene=scene))
        assert ("relative to that along X and Y" in text) == compared
        assert text.count("Power spectra along") == 3


def report_with(text: str) -> Report:
    voxels = texture(9, 12, 10)
    scene = Scene(
        (Layer(f"a{text}", "restored", voxels), Layer(f"b{text}", "error", voxels)),
        VoxelSize(1, 1, 1), text, Crop((0, 0, 0), voxels.shape), voxels.shape, 4, text,
    )  # fmt: skip
    return Report(
        text, text, text, {text: text}, text, (Advice(text, text),), scene,
        (Table(text, (text, text), ((text, text),), text),),
        (Picture(text, b"", text),), {text: {text: text}},
    )  # fmt: skip


BARE = Page(html(report_with("x")))


@given(
    st.one_of(
        st.text(min_size=1),
        st.sampled_from(
            ["<script>alert(1)</script>", "</script><script>", "<!--<script>", '"><img src=x>',
             "' onload='x", "</style><b>", "&lt;", "]]>", "</title>", "\ud800", "\x00"]
        ),
    )
)  # fmt: skip
def test_texts_stay_texts_whatever_they_hold(text: str) -> None:
    page = Page(html(report_with(text)))
    # The same elements with the same attributes: a text has opened, closed and added none.
    assert [(tag, sorted(attrs)) for tag, attrs in page.tags] == [
        (tag, sorted(attrs)) for tag, attrs in BARE.tags
    ]
    data = json.loads(page.scripts[0])
    assert data["volumes"][0]["name"] == f"a{text}"


@given(st.recursive(st.one_of(st.text(), st.integers()), st.lists))
def test_embedded_json_holds_no_mark_and_reads_back(value: Any) -> None:
    text = embedded_json({"value": value})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"value": value}


def test_the_page_allows_its_own_scripts_only_and_names_no_address_to_load() -> None:
    import hashlib

    stack, restored = restored_stack()
    text = html(prediction_report(stack, restored))
    page = Page(text)
    (policy,) = (
        attrs["content"]
        for tag, attrs in page.tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    kinds = [attrs.get("type") for tag, attrs in page.tags if tag == "script"]
    for kind, script in zip(kinds, page.scripts, strict=True):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert (f"'sha256-{digest}'" in policy) == (kind is None)
    for tag, attrs in page.tags:
        for name in ("src", "href", "srcset", "action"):
            assert re.match(r"data:|#|$", attrs.get(name) or ""), (tag, attrs)
        assert not any(name.startswith("on") for name in attrs)


def test_the_page_can_be_read_without_seeing_it() -> None:
    stack, restored = restored_stack()
    tags = Page(html(prediction_report(stack, restored))).tags
    names = [tag for tag, _ in tags]
    assert names.count("h1") == names.count("main") == 1
    images = [attrs for tag, attrs in tags if tag == "img" and "src" in attrs]
    assert len(images) == 9
    assert all(
        re.search(r"(XY|XZ|YZ) slice at [zyx] = [\d.e+]+ nm", a["alt"] or "") for a in images
    )
    assert all(attrs.get("aria-label") for tag, attrs in tags if tag == "svg")
    levels = [int(tag[1]) for tag in names if re.fullmatch(r"h[1-6]", tag)]
    assert max(np.diff(levels)) <= 1  # no level of heading is skipped


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    write_report(path, report_with("x"))
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        write_report(path, report_with("y"))
    assert path.read_bytes() == before
    write_report(path, report_with("y"), overwrite=True)
    assert path.read_bytes() != before
    with pytest.raises(OutputError, match=r"does not end in \.html"):
        write_report(tmp_path / "a.txt", report_with("y"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


# Colours


def luminance(colour: str) -> float:
    """Relative luminance of ``#rgb`` or ``#rrggbb`` (WCAG 2.1)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * d for d in colour[1:])
    share = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_can_be_told_from_what_they_stand_on(scheme: int) -> None:
    style = (Path(report.__file__).parent / "assets" / "report.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", block))
    for text in ("ink", "soft", "accent"):
        for ground in ("paper", "card"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
    assert contrast(colours["ink"], colours["notice"]) >= 4.5
    assert contrast(colours["soft"], colours["notice"]) >= 4.5
    for line in ("input", "linear", "restored", "second", "third", "truth", "notice-edge"):
        assert contrast(colours[line], colours["paper"]) >= 3, line
