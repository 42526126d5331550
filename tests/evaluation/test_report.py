"""The page of a report without a browser: what is drawn, escaped and allowed."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

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
from isoslice.evaluation.report.crop import Crop
from isoslice.evaluation.report.of_predict import prediction_report
from isoslice.evaluation.report.page import html
from isoslice.evaluation.report.pictures import scale_bar
from isoslice.evaluation.report.svg import Line, line_plot, ticks
from isoslice.evaluation.report.text import embedded_json
from report_page import Page, restored_stack


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
