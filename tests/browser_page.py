"""A report opened in a Chromium of the system, what it says and asks for, and its pixels."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import imageio.v3 as iio
import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
#: No GPU is needed: WebGL2 is drawn by the processor.
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


class Opened(NamedTuple):
    """A page, and what it said and asked for."""

    page: Page
    console: list[str]
    requests: list[str]


def open_page(browser: Browser, path: Path, **options: Any) -> Opened:
    options.setdefault("viewport", {"width": 1280, "height": 1300})
    page = browser.new_page(**options)
    opened = Opened(page, [], [])
    page.on("console", lambda message: opened.console.append(message.text))
    page.on("pageerror", lambda error: opened.console.append(str(error)))
    page.on("request", lambda request: opened.requests.append(request.url))
    page.goto(path.as_uri())
    return opened


def settle(page: Page) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate(
        "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))"
    )


def pixels(what: Locator) -> np.ndarray:
    return np.asarray(iio.imread(io.BytesIO(what.screenshot(timeout=60_000))))[..., :3].astype(int)
