"""The panel: choose a layer, preview, restore; it passes everything that takes time on."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices, QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

from isoslice.errors import DataError, SettingsError
from isoslice.runtime.time_left import TimeLeft
from isoslice.viewer.adding import add_one_by_one
from isoslice.viewer.arrangement import arrange
from isoslice.viewer.jobs import Jobs
from isoslice.viewer.layer_choice import LayerChoice
from isoslice.viewer.layer_source import LayerSource, show_at
from isoslice.viewer.messages import (
    Check,
    Checked,
    Described,
    Prepare,
    Prepared,
    Preview,
    Previewed,
    Report,
    Request,
    Restore,
    Restored,
    Save,
    Source,
    Written,
)
from isoslice.viewer.placement import row_aspect
from isoslice.viewer.preview_box import PreviewBox
from isoslice.viewer.preview_mark import PreviewMark
from isoslice.viewer.restoration import going_on, has_unfinished, output_path, told_of
from isoslice.viewer.restore_box import RestoreBox
from isoslice.viewer.results import IN_MEMORY, ReadResult, read_result, result_layers
from isoslice.viewer.stack_form import StackForm
from isoslice.viewer.wording import is_technical, unevenly_spaced

if TYPE_CHECKING:
    import napari

#: Milliseconds without another change after which a preview is made again.
SETTLED = 300
LOADING = "loading PyTorch …"


class RestorePanel(QWidget):
    """Restores a layer of a viewer."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer: Any = napari_viewer
        self.folder = Path(tempfile.mkdtemp(prefix="isoslice-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.jobs = Jobs()
        self.jobs.start()
        self.source = LayerSource(self.jobs, self.folder)
        self.layers, self.mark = LayerChoice(self.viewer), PreviewMark(self.viewer)
        self.form, self.preview, self.work = StackForm(), PreviewBox(), RestoreBox()
        arrange(self, self.layers, self.form, self.preview, self.work)
        self._time = TimeLeft()
        #: Number of what runs and can be cancelled, of the preview, and of quiet work.
        self._running, self._previewing, self._preparing = 0, 0, 0
        self._preview_runs, self._adding, self._closed = False, False, False
        self._asked: Request | None = None
        self._asked_of: Any = None
        self._started: Restore | None = None
        self._previewed: Request | None = None
        self._waiting: Any = None
        self.restored: Restored | None = None
        self._restored_source: Source | None = None
        self._measured: str | None = None
        self._results = 0
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLED)
        self._connect()
        self.work.status.setText(LOADING)
        self.layers.list_layers()

    def _connect(self) -> None:
        self.layers.chosen.connect(self._choose_layer)
        self.form.changed.connect(self._settings_changed)
        self.preview.wanted.connect(self.show_preview)
        self.preview.moved.connect(self._settled.start)
        self._settled.timeout.connect(self._preview_again)
        self.work.restore.clicked.connect(self.restore)
        self.work.check.clicked.connect(self.check)
        self.work.cancel.clicked.connect(self.cancel)
        escape = QShortcut(QKeySequence("Esc"), self)
        escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        escape.activated.connect(self.work.cancel.click)
        self.work.save_wanted.connect(self.save)
        self.work.report.clicked.connect(self.open_report)
        self.source.described.connect(self._described)
        self.source.written.connect(self._source_ready)
        self.source.failed.connect(self._failed)
        self.source.contrast.connect(self._contrast_changed)
        jobs = self.jobs
        jobs.ready.connect(self._ready)
        jobs.answered.connect(self._answered)
        jobs.progressed.connect(self._progressed)
        jobs.noted.connect(self._noted)
        jobs.warned.connect(self._warned)
        jobs.ended.connect(self._ended)
        self.viewer.mouse_drag_callbacks.append(self._clicked)
        close = self.close_work
        self.destroyed.connect(lambda: close())  # a method of its own would not be called then

    @property
    def layer(self) -> Any:
        """The layer that is chosen, or None."""
        return self.layers.layer

    def _choose_layer(self) -> None:
        """Fill in what the layer says, and measure it beforehand."""
        self.jobs.supersede(self._previewing)
        self._previewed = None
        self.preview.figure.show_preview(None, (0, 1), 1)
        self.mark.hide()
        self._waiting = None
        try:
            facts = self.source.choose(self.layer)
        except DataError as error:
            self.work.tell(str(error), "Error")
            facts = None
        for part in (self.form, self.preview):
            part.setEnabled(facts is not None)
        self.work.set_busy(facts is None and not self._running)
        self.work.cancel.setEnabled(bool(self._running))
        if facts is None:
            self.preview.figure.show_message("Add a z-stack: drop a file into the viewer.")
            return
        self.preview.figure.show_message("Orange marks will show which rows were measured.")
        self.form.fill(facts)
        self.preview.set_range(dict(zip(facts.axes, facts.shape, strict=True)))

    def _described(self, found: Described) -> None:
        """Take the voxel size of the layer's file, which napari may not have read."""
        if (facts := self.source.facts) is None:
            return
        self.form.axes.setText(facts.axes)
        self.form.fill_profile(found.profile)
        if self.source.positions is not None:
            self.work.tell(unevenly_spaced(self.source.positions), "Note")
        if facts.voxel_size is not None:
            return
        self.form.fill_described(found)
        if None in found.voxel_size:
            self.work.tell("the layer's file lacks a voxel size: fill it in where there is a ?")
            return
        show_at(self.layer, facts, found.voxel_size, found.unit)
        self.viewer.reset_view()
        self.work.tell("voxel size read from the layer's file; the layer is shown at it now")

    # What is asked for

    def stack(self) -> Source | None:
        """Return the stack as it is asked for: its file, with what the form says."""
        path = self.source.path
        if path is None:
            return None
        axes = self.form.axes.text().strip().upper()
        positions: Any = self.source.positions
        if positions is not None and self.form.size_is_corrected:
            positions = "even"
        size = self.form.voxel_size
        return Source(str(path), axes or None, size, self.form.unit_name, positions)

    def _source_ready(self) -> None:
        """Do what waited for the layer to be written, or measure it beforehand."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting()
        elif not self._running:
            self._prepare()

    def _prepare(self) -> None:
        stack = self.stack()
        if stack is not None and (stack.voxel_size or self.form.settings.factor):
            self._preparing = self.jobs.ask(Prepare(stack, self.form.settings))

    def _when_ready(self, action: Any) -> bool:
        """Tell whether the layer is in a file; else do something once it is."""
        if self.stack() is not None:
            return True
        self._waiting = action
        if self.source.layer is not None:
            self.work.status.setText("reading the layer …")
        return False

    def _settings_changed(self) -> None:
        if self.source.rename(self.form.axes.text()) and self.source.facts is not None:
            facts = self.source.facts
            self.preview.set_range(dict(zip(facts.axes, facts.shape, strict=True)))
        self._settled.start()

    def _preview_again(self) -> None:
        if self._previewed is not None and self.preview.follow.isChecked() and not self._running:
            self.show_preview(again=True)

    def show_preview(self, again: bool = False) -> None:
        """Preview at the place that was clicked; not again if nothing has changed since."""
        if not self._when_ready(self.show_preview):
            return
        stack = self.stack()
        assert stack is not None  # it is ready
        request = Preview(stack, self.form.settings, self._place())
        if again is True and request == self._previewed:
            return
        if self._previewing:
            self.jobs.supersede(self._previewing)
        self._previewed = request
        self.preview.button.setText("Pr&eview …")
        self._previewing = self.jobs.ask(request)
        self._preview_runs = True
        self.work.cancel.setEnabled(True)

    def _place(self) -> dict[str, int]:
        at = self.source.place(self.viewer.dims.point)
        return at | {axis: box.value() for axis, box in self.preview.at.items()}

    def _clicked(self, viewer: Any, event: Any) -> Any:
        """Take a click into the viewer, not a drag, for the place of the preview."""
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        if not dragged and self.source.layer is not None and viewer.dims.ndisplay == 2:
            self.preview.move_to(self.source.place(event.position))

    def restore(self) -> None:
        """Restore the layer, or go on where a cancelled run of the same ended."""
        if not self._when_ready(self.restore):
            return
        stack, facts, settings = self.stack(), self.source.facts, self.form.settings
        assert stack is not None  # it is ready
        assert facts is not None
        nbytes = facts.nbytes * (settings.factor or 4)
        try:
            output = output_path(
                self.work.output.text(), self.folder, self._results, nbytes, IN_MEMORY
            )
        except SettingsError as error:
            self._failed(str(error))
            return
        detail = self.preview.detail if self.preview.slider.isEnabled() else None
        uncertainty = self.work.uncertainty.isChecked()
        request = Restore(stack, settings, output, detail, uncertainty)
        self._started = going_on(request, self._started)
        self._run(self._started)

    def check(self) -> None:
        """Check how far the model can be trusted on the layer."""
        if self._when_ready(self.check):
            stack = self.stack()
            assert stack is not None  # it is ready
            self._run(Check(stack, self.form.settings))

    def save(self, path: str) -> None:
        """Write the result in the format of a suffix."""
        if self.restored is not None:
            self._run(Save(self.restored, path, self._measured))

    def open_report(self) -> None:
        """Write the report of the result, and open it in a browser."""
        if self.restored is not None and self._restored_source is not None:
            path = self.folder / f"report-{self._results}.html"
            self._run(Report(self._restored_source, self.restored, str(path)))

    def _run(self, request: Request) -> None:
        """Ask for something that can be cancelled."""
        self.jobs.supersede(max(self._previewing, self._preparing))
        self._asked, self._asked_of = request, self.source.layer
        self._time = TimeLeft()
        self._running = self.jobs.ask(request)
        self.work.set_busy(True)
        self.work.show_progress("starting …", 0)

    def cancel(self) -> None:
        """End what runs, within a second."""
        number = self._running or (self._previewing if self._preview_runs else 0)
        if number:
            self.work.status.setText("cancelling …")
            self._previewed = None
            self.jobs.cancel(number)

    # What is answered

    def _ready(self) -> None:
        if self.work.status.text() == LOADING:
            self.work.status.setText("ready")

    def _answered(self, number: int, value: object) -> None:
        match value:
            case Previewed() if number == self._previewing:
                self.preview.show_preview(value, self._window(), self._aspect())
                self.mark.show(self.layer, self.form.axes.text(), value.slabs)
            case Prepared():
                self.form.fill_missing(value)
            case Checked(verdict):
                self.work.tell(verdict)
            case Restored():
                self.restored = value
                assert isinstance(self._asked, Restore)
                self._restored_source, layer = self._asked.source, self._asked_of
                self._measured = getattr(layer.source, "path", None)
                self._results, self._adding = self._results + 1, True
                self.jobs.in_thread(
                    lambda: read_result(value),
                    lambda result: self._show_result(layer, result),
                    self._failed,
                )
            case Written(path) if path.endswith(".html"):
                QDesktopServices.openUrl(QUrl.fromLocalFile(path))
                self.work.tell(f"report: {path}")
            case Written(path):
                self.work.tell(f"saved: {path}")

    def _show_result(self, layer: Any, result: ReadResult) -> None:
        layers = result_layers(layer, result) if layer in self.viewer.layers else ()
        add_one_by_one(self.viewer, layers, self._added)
        self.work.tell(told_of(result.restored.path, self.folder))
        self.work.set_result(self.restored)

    def _added(self) -> None:
        self._adding = False
        self.work.status.setText("done")

    def _window(self) -> tuple[float, float]:
        limits = getattr(self.layer, "contrast_limits", (0, 255))
        return float(limits[0]), float(limits[1])

    def _contrast_changed(self) -> None:
        self.preview.figure.set_window(self._window())

    def _aspect(self) -> float:
        settings = self.form.settings
        return row_aspect(self.form.voxel_size, settings.factor, settings.along)

    def _progressed(self, number: int, task: str, fraction: float) -> None:
        if number == self._running:
            self.work.show_progress(self._time.told(task, fraction), fraction)
        elif not self._running and number == self._previewing and task != "preview":
            self.work.show_progress(f"for the preview: {self._time.told(task, fraction)}", fraction)

    def _warned(self, number: int, text: str, doubt: bool) -> None:
        if number in (self._running, self._previewing, self._preparing):
            self.work.tell(self.source.named(text), "Warning")

    def _noted(self, number: int, text: str) -> None:
        if number in (self._running, self._previewing) and not is_technical(text):
            self.work.tell(self.source.named(text), "Note")

    def _failed(self, error: str) -> None:
        self._adding = False
        self.work.tell(self.source.named(error), "Error")
        self.work.status.setText("")

    def _ended(self, number: int, error: str, cancelled: bool) -> None:
        if number == self._previewing:
            self._preview_ended(cancelled)
        if error and number != self._preparing:
            self.work.tell(self.source.named(error), "Error")
        if number != self._running:
            return
        self._running = 0
        self.work.set_busy(False)
        asked, done = self._asked, "adding layers …" if self._adding else "done"
        self.work.status.setText("failed" if error else "cancelled" if cancelled else done)
        kept = isinstance(asked, Restore) and has_unfinished(asked.output)
        if kept:
            self.work.tell("what is restored so far is kept; Resume goes on from there")
        elif cancelled:
            self.work.tell("cancelled; nothing was written")
        self.work.restore.setText("&Resume" if kept else "&Restore")
        self.jobs.start()  # if it was ended, its libraries are loaded again now

    def _preview_ended(self, cancelled: bool) -> None:
        self._preview_runs = False
        self.preview.button.setText("Pr&eview")
        if not self._running:
            self.work.cancel.setEnabled(False)
            self.work.show_progress("preview cancelled" if cancelled else "", 0)
            self.jobs.start()

    def closeEvent(self, event: Any) -> None:
        """End the computing process with the panel."""
        self.close_work()
        super().closeEvent(event)

    def close_work(self) -> None:
        """End the computing process, and let go of the viewer; once is enough."""
        if self._closed:
            return
        self._closed = True
        self.layers.let_go()
        self.mark.let_go()
        if self._clicked in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._clicked)
        self.jobs.close()
