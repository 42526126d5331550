"""The computing process: it answers, tells errors in one line, and ends within a second."""

from __future__ import annotations

import os
import queue
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import texture, write_stack
from isoslice.viewer.messages import (
    ADAPTED,
    Answer,
    Check,
    Describe,
    Ended,
    Preview,
    Progressed,
    Ready,
    Report,
    Restore,
    Save,
    Settings,
    Source,
)
from isoslice.viewer.process import ComputingProcess

pytest.importorskip("torch")


class Told:
    """A process, and what it replied until now."""

    def __init__(self) -> None:
        self.replies: queue.Queue[object] = queue.Queue()
        self.process = ComputingProcess(self.replies.put)

    def next(self, kind, number=None, timeout=60.0):
        """The next reply of a kind, to a request."""
        end = time.monotonic() + timeout
        while True:
            reply = self.replies.get(timeout=max(0.01, end - time.monotonic()))
            if isinstance(reply, kind) and number in (None, reply.number):
                return reply

    def result(self, request):
        """What a request gives in the end."""
        number = self.process.ask(request)
        value = None
        while True:
            reply = self.next((Answer, Ended), number)
            if isinstance(reply, Ended):
                return reply if reply.error or reply.cancelled else value
            value = reply.value


@pytest.fixture(scope="module")
def told():
    made = Told()
    made.process.start()
    yield made
    made.process.close()


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(str(write_stack(tmp_path / "stack.ome.tif", texture(5, 32, 36))))


@pytest.fixture
def large(tmp_path: Path) -> Source:
    """A stack that takes a minute."""
    return Source(str(write_stack(tmp_path / "large.ome.tif", texture(12, 256, 256))))


def test_a_file_is_described(told, source):
    found = told.result(Describe(source.path))
    assert (found.shape, found.axes, found.unit) == ((5, 32, 36), "ZYX", "micrometer")
    assert found.voxel_size == (3.0, 1.0, 1.0)


def test_what_cannot_be_done_is_told_in_one_line(told, source):
    ended = told.result(Preview(source, Settings(missing="99"), {"Y": 1, "X": 1}))
    assert "missing planes 99" in ended.error
    assert "\n" not in ended.error
    ended = told.result(Preview(Source("/nowhere.tif"), Settings(), {}))
    assert "no such file" in ended.error


def test_a_restoration_is_that_of_the_library(told, source, tmp_path):
    from isoslice.inference.model import Model
    from isoslice.io.reading import read_volume

    output = str(tmp_path / "out.ome.zarr")
    made = told.result(Restore(source, Settings(), output, detail=0.5, uncertainty=True))
    direct = Model.pretrained().predict(read_volume(source.path), detail=0.5, uncertainty=True)
    np.testing.assert_array_equal(read_volume(made.path).data, direct.volume)
    np.testing.assert_array_equal(read_volume(made.std).data, direct.std)
    assert (made.axes, made.along, made.ratio) == ("ZYX", "Z", 3.0)
    assert np.flatnonzero(made.measured[0, 0]).tolist() == [0, 3, 6, 9, 12]

    saved = told.result(Save(made, str(tmp_path / "out.tif")))
    np.testing.assert_array_equal(read_volume(saved.path).data, direct.volume)
    np.testing.assert_array_equal(read_volume(tmp_path / "out.std.tif").data, direct.std)
    assert told.result(Save(made, str(tmp_path / "out.tif"))) == saved  # a dialog has asked
    assert "exists" in told.result(Save(made, output)).error  # none asks for a folder
    own = tmp_path / "out.tif"
    before = own.read_bytes()
    assert "got the input as output" in told.result(Save(made, str(own), str(own))).error
    assert own.read_bytes() == before
    report = told.result(Report(source, made, str(tmp_path / "out.html")))
    assert "stack.ome.tif" in Path(report.path).read_text(encoding="utf-8")


def test_a_model_is_adapted_once_for_a_stack(told, source):
    settings = Settings(model=ADAPTED, minutes=0.02)
    for fitted in (True, False):
        number = told.process.ask(Preview(source, settings, {"Y": 3, "X": 3}))
        tasks = set()
        while not isinstance(reply := told.next((Progressed, Ended), number), Ended):
            tasks.add(reply.task)
        assert reply.error is None
        assert (tasks > {"preview"}) == fitted, tasks


def test_the_folder_of_a_model_is_one_or_is_refused(told, source, model_folder, tmp_path):
    from isoslice.inference.model import Model
    from isoslice.io.reading import read_volume

    made = told.result(Preview(source, Settings(model=str(model_folder)), {"Y": 3, "X": 3}))
    expected = Model.load(model_folder).predict(read_volume(source.path)).volume[:, 3]
    np.testing.assert_array_equal(made.slabs[0].restored[-1], expected)
    ended = told.result(Preview(source, Settings(model=str(tmp_path)), {"Y": 3, "X": 3}))
    assert "no isoslice model there" in ended.error


def test_the_verdict_is_that_of_check(told, source):
    from isoslice.evaluation.holdout.run import check
    from isoslice.io.reading import read_volume

    with _quiet():
        direct = check(read_volume(source.path), "pretrained")
    assert told.result(Check(source, Settings())).verdict == direct.verdict


def _quiet():
    import warnings

    return warnings.catch_warnings(action="ignore")


def test_a_cancelled_restoration_ends_at_once_and_can_be_gone_on_with(told, large, tmp_path):
    request = Restore(large, Settings(factor=2), str(tmp_path / "out.ome.zarr"), detail=0.0)
    number = told.process.ask(request)
    while not (tmp_path / "out.ome.zarr.unfinished").exists():  # until it restores
        told.next(Progressed, number)
    while told.next(Progressed, number).fraction < 0.3:
        pass
    began = time.monotonic()
    told.process.cancel(number)
    ended = told.next(Ended, number)
    assert ended.cancelled
    assert time.monotonic() - began < 3  # less than 1 where the machine is idle
    assert (tmp_path / "out.ome.zarr.unfinished").is_dir()
    again = Restore(large, Settings(factor=2), request.output, detail=0.0, resume=True)
    assert told.result(again).path == request.output


def test_another_process_goes_on_with_the_adapted_model_that_was_begun_with(large, tmp_path):
    """Adapted anew, for so many seconds, it would be another one, and refused."""
    from isoslice.inference.model import Model
    from isoslice.io.reading import read_volume

    first, second = Told(), Told()
    settings = Settings(model=ADAPTED, factor=2, minutes=0.1)
    request = Restore(large, settings, str(tmp_path / "out.ome.zarr"), detail=0.0)
    number = first.process.ask(request)
    while not list(tmp_path.glob("out.ome.zarr.unfinished/done-*")):
        first.next(Progressed, number)
    os.kill(first.process._process.pid, signal.SIGKILL)
    first.next(Ended, number)
    begun = Model.load(tmp_path / "out.ome.zarr.unfinished" / "model").fingerprint
    second.result(Preview(large, settings, {"Y": 128, "X": 128}))  # adapts another one
    goes_on = Restore(large, settings, request.output, detail=0.0, resume=True)
    assert second.result(goes_on).path == request.output
    assert read_volume(request.output).provenance["model"] == begun
    for told in (first, second):
        told.process.close()


def test_a_process_that_does_not_hear_is_ended(large):
    """At any moment: here before its libraries are loaded."""
    told = Told()
    number = told.process.ask(Preview(large, Settings(), {"Y": 1, "X": 1}))
    began = time.monotonic()
    told.process.cancel(number)
    assert told.next(Ended, number).cancelled
    assert time.monotonic() - began < 3
    assert told.result(Describe(large.path)).axes == "ZYX"  # another one answers
    told.process.close()


def test_a_process_that_dies_is_told_and_another_answers(source):
    told = Told()
    told.process.start()
    told.next(Ready)
    number = told.process.ask(Restore(source, Settings(), source.path + ".ome.zarr"))
    os.kill(told.process._process.pid, signal.SIGKILL)
    ended = told.next(Ended, number)
    assert "perhaps there was too little memory" in ended.error
    assert not ended.cancelled
    assert told.result(Describe(source.path)).axes == "ZYX"
    told.process.close()


def test_the_process_ends_with_the_window(source):
    told = Told()
    told.process.start()
    told.next(Ready)
    process = told.process._process
    process.stdin.close()  # as when the window dies
    assert process.wait(timeout=10) == 0
    told.process.close()
