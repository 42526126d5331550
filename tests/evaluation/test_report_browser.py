"""Reports in a real browser: views, cursor, slider, keys, and what is left without WebGL or script.

Needs playwright (in the group ``dev``) and a Chromium of the system, such as Debian's package
``chromium``; nothing is ever downloaded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
import pytest

from browser_page import BROWSER, FLAGS, SOFTWARE, Opened, open_page, pixels, settle
from conftest import texture
from isoslice.data.grid import PlaneGrid, thin
from isoslice.data.interpolation import interpolate
from isoslice.data.volume import Volume
from isoslice.evaluation.evaluate import evaluate
from isoslice.evaluation.report import write_report
from isoslice.evaluation.report.encode import as_bytes, fitted
from isoslice.evaluation.report.of_evaluate import evaluation_report
from isoslice.evaluation.report.of_predict import prediction_report

playwright = pytest.importorskip(
    "playwright.sync_api", reason="no playwright; install the dependency group dev"
)
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium; install Debian's package chromium"),
]
HOSTILE = '</script><img src=x onerror="document.title=1">.tif'
SHAPE, FACTOR = (33, 40, 48), 4


@pytest.fixture(scope="module")
def made() -> Any:
    """A report of random structure with every kind of volume that predict has."""
    true = texture(*SHAPE)
    stack = Volume(
        thin(true, FACTOR), "ZYX", {"Z": 32, "Y": 8, "X": 8}, "nanometer", source=HOSTILE
    )
    restored = Volume(
        true,
        "ZYX",
        {"Z": 8, "Y": 8, "X": 8},
        "nanometer",
        provenance={"factor": FACTOR, "mode": "sample", HOSTILE: HOSTILE},
    )
    doubt = np.abs(texture(*SHAPE, seed=1, dtype="float32") - 100)
    return prediction_report(stack, restored, uncertainty=doubt)


@pytest.fixture(scope="module")
def file(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, made)
    return path


@pytest.fixture(scope="module")
def started() -> Iterator[Playwright]:
    with playwright.sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(started: Playwright) -> Iterator[Browser]:
    found = started.chromium.launch(executable_path=BROWSER, args=[*FLAGS, *SOFTWARE])
    yield found
    found.close()


@pytest.fixture
def live(browser: Browser, file: Path) -> Iterator[Opened]:
    opened = open_page(browser, file)
    opened.page.wait_for_selector("html.is-live", state="attached", timeout=120_000)
    settle(opened.page)
    yield opened
    assert opened.console == []
    opened.page.close()


def cursor(page: Page) -> list[int]:
    found: list[int] = page.evaluate("isosliceReport.cursor")
    return found


def crosshairs(page: Page) -> np.ndarray:
    """Where each view really is, as voxels (z, y, x)."""
    fractions = page.evaluate(
        "isosliceReport.views.map((v) => Array.from(v.viewer.scene.crosshairPos))"
    )
    x, y, z = np.transpose(fractions)
    depth, height, width = SHAPE
    return np.floor(np.stack([(1 - z) * depth, (1 - y) * height, x * width], -1)).astype(int)


def tile(page: Page, view: int, name: str) -> dict[str, float]:
    """Place of a slice on the page."""
    label = page.locator(f"#live .column:nth-child({view + 1}) .tile", has_text=name)
    box = label.bounding_box()
    assert box is not None
    return dict(box)


def click(page: Page, view: int, name: str, across: float, down: float) -> None:
    box = tile(page, view, name)
    page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
    settle(page)


def test_every_volume_has_a_canvas_that_is_not_blank(live: Opened) -> None:
    canvases = live.page.locator("#live canvas")
    assert canvases.count() == 4
    for number in range(4):
        image = pixels(canvases.nth(number))
        assert image.std() > 15
        for third in np.array_split(image, 3):  # XY, XZ and YZ lie below each other
            assert third.std() > 10
    assert live.page.locator(".pictures").is_hidden()


def test_uncertainty_is_coloured_and_the_others_are_grey(live: Opened) -> None:
    def colourful(number: int) -> float:
        image = pixels(live.page.locator("#live canvas").nth(number))
        spread = image.max(axis=-1) - image.min(axis=-1)
        return float((spread > 30).mean())

    # The crosshair is coloured everywhere.
    assert max(colourful(number) for number in range(3)) < 0.2
    assert colourful(3) > 0.6


def test_the_page_makes_the_same_volumes_as_python(live: Opened, made: Any) -> None:
    scene, scale, _ = fitted(made.scene)
    for number, volume in enumerate(scene.volumes):
        found = live.page.evaluate(f"Array.from(isosliceReport.volumes[{number}].voxels)")
        if volume.derived is None:
            wanted: np.ndarray = as_bytes(volume.voxels, scale.of(volume))
        else:  # made of bytes, so of values that are cut off at the ends of the window
            (base,) = (v for v in scene.volumes if v.name == volume.derived.of[0])
            planes = as_bytes(base.voxels[list(scene.known)], scale.grey)
            wanted = interpolate(planes, PlaneGrid(scene.known), volume.derived.by)  # type: ignore[arg-type]
        assert np.abs(np.asarray(found) - wanted.ravel()).max() <= 0.51, volume.name


def test_the_page_makes_the_same_errors_as_python(browser: Browser, tmp_path: Path) -> None:
    truth = Volume(texture(*SHAPE), "ZYX", {"Z": 8, "Y": 8, "X": 8})
    ours = Volume(texture(*SHAPE, seed=6), "ZYX", {"Z": 8, "Y": 8, "X": 8}, source="ours.tif")
    report = evaluation_report(truth, [ours], [evaluate(truth, ours)])
    write_report(tmp_path / "e.html", report)
    opened = open_page(browser, tmp_path / "e.html")
    opened.page.wait_for_selector("html.is-live", state="attached", timeout=120_000)
    settle(opened.page)
    assert report.scene is not None
    scene, scale, _ = fitted(report.scene)
    for number, volume in enumerate(scene.volumes):
        if volume.role == "error":
            base, other = (as_bytes(v.voxels, scale.grey) for v in scene.volumes[:2])
            levels = np.abs(base.astype(float) - other) * np.ptp(scale.grey) / 255
            wanted = as_bytes(levels, scale.coloured)
            found = opened.page.evaluate(f"Array.from(isosliceReport.volumes[{number}].voxels)")
            assert np.abs(np.asarray(found) - wanted.ravel()).max() <= 1
            break
    else:
        pytest.fail("no error is shown")
    assert opened.console == []
    opened.page.close()


def test_a_click_in_one_slice_moves_all_views(live: Opened) -> None:
    page, (depth, height, width) = live.page, SHAPE
    z = cursor(page)[0]
    before = [pixels(page.locator("#live canvas").nth(i)) for i in range(4)]
    click(page, 1, "XY", (10 + 0.5) / width, (30 + 0.5) / height)
    assert cursor(page) == [z, 30, 10]
    assert (crosshairs(page) == [z, 30, 10]).all()
    after = [pixels(page.locator("#live canvas").nth(i)) for i in range(4)]
    for old, new in zip(before, after, strict=True):
        for a, b in zip(np.array_split(old, 3)[1:], np.array_split(new, 3)[1:], strict=True):
            assert np.abs(a - b).mean() > 2  # XZ and YZ show another place
    click(page, 2, "XZ", (20 + 0.5) / width, (5 + 0.5) / depth)
    assert cursor(page) == [5, 30, 20]
    click(page, 0, "YZ", (7 + 0.5) / height, (12 + 0.5) / depth)
    assert cursor(page) == [12, 7, 20]
    assert (crosshairs(page) == [12, 7, 20]).all()


def test_slices_show_what_the_volume_holds(live: Opened, made: Any) -> None:
    page = live.page
    page.add_style_tag(content=".tile { visibility: hidden }")
    z, y, x = cursor(page)
    restored = made.scene.volumes[2].voxels
    for name, wanted in (
        ("XY", restored[z]),
        ("XZ", restored[:, y]),
        ("YZ", restored[:, :, x]),
    ):
        box = tile(page, 2, name)
        shot = iio.imread(io.BytesIO(page.screenshot(clip=box, timeout=60_000)))[..., :3]
        rows = ((np.arange(wanted.shape[0]) + 0.5) / wanted.shape[0] * shot.shape[0]).astype(int)
        columns = ((np.arange(wanted.shape[1]) + 0.5) / wanted.shape[1] * shot.shape[1]).astype(int)
        seen = shot[rows][:, columns].astype(float)
        grey = np.ptp(seen, axis=-1) < 12  # no crosshair
        low, high = fitted(made.scene)[1].grey
        wanted = wanted.clip(low, high)
        assert np.corrcoef(seen.mean(-1)[grey], wanted[grey])[0, 1] > 0.98, name


def test_keys_move_all_views(live: Opened) -> None:
    page = live.page
    page.locator("#live").focus()
    z, y, x = start = cursor(page)
    for key, wanted in (
        ("ArrowRight", [z, y, x + 1]),
        ("ArrowDown", [z, y + 1, x + 1]),
        ("PageDown", [z + 1, y + 1, x + 1]),
        ("PageUp", [z, y + 1, x + 1]),
        ("Home", start),
        ("Shift+ArrowLeft", [z, y, max(x - 10, 0)]),
    ):
        page.keyboard.press(key)
        settle(page)
        assert cursor(page) == wanted
        assert (crosshairs(page) == wanted).all()
    page.keyboard.press("m")
    settle(page)
    assert cursor(page)[0] % FACTOR == 0
    assert "is measured" in page.locator("#where").inner_text()


def test_sliders_and_places_move_the_cursor_and_the_profile(live: Opened) -> None:
    page = live.page
    profile = page.locator("#profile path.line.sample")
    old = profile.get_attribute("d")
    page.locator("#slide-X").focus()
    page.keyboard.press("Home")
    settle(page)
    assert cursor(page)[2] == 0
    assert profile.get_attribute("d") != old
    button = page.locator("button.go").first
    button.click()
    settle(page)
    wanted = [int(n) for n in (button.get_attribute("data-at") or "").split()]
    assert cursor(page) == wanted
    dots = page.locator("#profile circle.dot")
    assert dots.count() == (SHAPE[0] - 1) // FACTOR + 1


def test_zoom_keeps_the_cursor_in_the_middle(live: Opened) -> None:
    page = live.page
    wanted = [16, 20, 24]
    page.evaluate(f"isosliceReport.move({wanted})")
    page.locator("#live").focus()
    for _ in range(4):
        page.keyboard.press("+")
    settle(page)
    assert page.evaluate("isosliceReport.zoom") == 3
    for name in ("XY", "XZ", "YZ"):
        click(page, 2, name, 0.5, 0.5)
        assert np.abs(np.subtract(cursor(page), wanted)).max() <= 1, name


def test_volumes_can_be_left_out_but_not_all(live: Opened) -> None:
    page = live.page
    for number in range(4):
        page.locator(f"label:has(#toggle-{number})").click()
    assert page.locator("#live .column:visible").count() == 1
    page.locator("#still").click()
    assert page.locator(".pictures").is_visible()
    assert page.locator("#live").is_hidden()


def test_the_before_and_after_slider_works_by_key_and_pointer(live: Opened) -> None:
    page = live.page
    wipe, share = page.locator("#wipe"), page.locator("#share")
    share.focus()
    page.keyboard.press("Home")
    after = pixels(wipe)
    page.keyboard.press("End")
    before = pixels(wipe)
    assert np.abs(before - after).mean() > 2
    page.keyboard.press("ArrowLeft")
    assert share.input_value() == "99"
    box = wipe.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    assert share.input_value() == "25"
    quarter, wide = pixels(wipe), before.shape[1]
    inner = slice(60, -10)  # below the names
    left, right = slice(0, int(0.23 * wide)), slice(int(0.27 * wide), wide)
    np.testing.assert_allclose(quarter[inner, left], before[inner, left], atol=12)
    np.testing.assert_allclose(quarter[inner, right], after[inner, right], atol=12)
    page.locator("#slice").select_option("XY")
    assert (
        np.abs(pixels(wipe) - quarter).mean() > 2 if pixels(wipe).shape == quarter.shape else True
    )


def test_nothing_is_loaded_and_names_do_nothing(live: Opened) -> None:
    assert [url for url in live.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in live.requests if url.startswith("file:")]) == 1
    assert live.page.locator("h1").inner_text().startswith(Path(HOSTILE).name)
    assert live.page.locator('img[src="x"]').count() == 0
    assert live.page.title() != "1"


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 800), (1920, 1080)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(
    browser: Browser, file: Path, width: int, height: int, scheme: Any
) -> None:
    viewport = {"width": width, "height": height}
    opened = open_page(browser, file, viewport=viewport, color_scheme=scheme)
    opened.page.wait_for_selector("html.is-live", state="attached", timeout=120_000)
    settle(opened.page)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    canvas = opened.page.locator("#live canvas").first.bounding_box()
    assert canvas is not None
    assert canvas["width"] > 120
    if width == 1920:  # the views use the room, and fit in the window
        views = opened.page.locator("#live").bounding_box()
        assert views is not None
        assert views["width"] > 700
        assert views["height"] < height
    opened.page.close()


def test_without_webgl_the_pictures_stay_and_the_slider_works(
    started: Playwright, file: Path
) -> None:
    browser = started.chromium.launch(executable_path=BROWSER, args=[*FLAGS, "--disable-3d-apis"])
    with closing(browser):
        opened = open_page(browser, file)
        page = opened.page
        page.locator("#compare").wait_for(state="visible")
        assert "no WebGL2" in page.locator("#why-still").inner_text()
        assert page.locator("#live").is_hidden()
        pictures = page.locator(".pictures img")
        assert pictures.count() == 12
        assert min(pixels(pictures.nth(i)).std() for i in range(12)) > 10
        page.locator("#share").focus()
        page.keyboard.press("Home")
        after = pixels(page.locator("#wipe"))
        page.keyboard.press("End")
        assert np.abs(pixels(page.locator("#wipe")) - after).mean() > 2
        assert opened.console == []


def test_without_script_pictures_plots_and_text_are_there(browser: Browser, file: Path) -> None:
    opened = open_page(browser, file, java_script_enabled=False)
    page = opened.page
    assert page.locator(".pictures").is_visible()
    assert pixels(page.locator(".pictures .slice").first).std() > 10
    assert page.locator("#profile svg path.line").count() == 2
    assert page.locator("#spectra svg").count() == 3
    assert page.locator("#live").is_hidden()
    assert page.locator("#compare").is_hidden()
    assert opened.console == []
    page.close()
