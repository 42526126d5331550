"""Fixtures that several test files share: images, a tiny trained model, the command line."""

from __future__ import annotations

import locale
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import tifffile
from hypothesis import settings
from scipy.ndimage import gaussian_filter

import cpu_time
from made_once import made_once

if TYPE_CHECKING:
    from isoslice.inference.engine.begin import Request
    from isoslice.inference.model import Model
    from isoslice.models.reliability.out_of_distribution import OodReference


# The same examples every time, however slow the machine: a red test means a change broke something.
settings.register_profile("isoslice", deadline=None, derandomize=True)
settings.load_profile("isoslice")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cpu-limit", type=float, default=cpu_time.LIMIT_S, metavar="SECONDS",
        help="CPU time of a test that is not marked slow (default: %(default)s)",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(cpu_time)
    if find_spec("torch") is None:
        from without_torch import WithoutTorch

        config.pluginmanager.register(WithoutTorch())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests first where several processes share them, so that all end together."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


class Ran(NamedTuple):
    """What a command left: exit code, standard output, lines on standard error."""

    code: int
    out: str
    err: list[str]


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process, as the `isoslice` script does."""
    from isoslice.cli import main

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        if find_spec("torch") is None and "No module named 'torch'" in err:
            pytest.skip("needs PyTorch")
        return Ran(code, out, err.splitlines())

    return run


def texture(*shape: int, seed: int = 0, dtype: str = "uint8") -> np.ndarray:
    """Smooth random structure that fills the range 10 to 200."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = gaussian_filter(noise, [0] * (len(shape) - 3) + [1.5] * min(3, len(shape)))
    scaled = 10 + 190 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return scaled.astype(dtype)


def write_stack(
    path: Path,
    data: np.ndarray,
    axes: str = "ZYX",
    voxel_size: tuple[float, float, float] | None = (3.0, 1.0, 1.0),
) -> Path:
    """Write an OME-TIFF straight by tifffile, so that it doesn't depend on our writer."""
    metadata: dict[str, Any] = {"axes": axes}
    if voxel_size is not None:
        for axis, step in zip("ZYX", voxel_size, strict=True):
            metadata |= {f"PhysicalSize{axis}": step, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata)
    return path


@pytest.fixture(autouse=True)
def same_locale() -> Iterator[None]:
    """Fail a test that leaves the process with another locale, which a library may set."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    assert locale.setlocale(locale.LC_ALL) == before


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(params=["float32", "bfloat16"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compute as on a processor without bfloat16, then as on one with it, whichever this is.

    For tests whose numbers depend on it. Processes that a test starts compute in their own.
    """
    fast = request.param == "bfloat16"
    monkeypatch.setattr("isoslice.runtime.device.cpu_has_bfloat16", lambda: fast)
    return request.param


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    """A stack of 5 planes of 40 x 44, Z three times XY."""
    return write_stack(tmp_path / "stack.ome.tif", texture(5, 40, 44))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one channel, trained for two steps: it works, but knows nothing.

    Copy the folder before changing it.
    """
    pytest.importorskip("torch")
    from isoslice.models.config import NetworkSettings, TrainingSettings
    from isoslice.training.train import train

    def make(folder: Path) -> None:
        model = train(
            texture(6, 48, 48),
            axes="ZYX",
            voxel_size=(1.0, 1.0, 1.0),
            steps=2,
            device="cpu",
            settings=TrainingSettings(crop=32, batch=2),
            network=NetworkSettings(widths=(8, 8), blocks_down=(1, 1), blocks_up=(1, 1)),
        )
        model.save(folder)

    return made_once(tmp_path_factory, "tiny.model", make)


@pytest.fixture(scope="session")
def tiny_model(model_folder: Path) -> Model:
    """The model in `model_folder`."""
    from isoslice.inference.model import Model

    return Model.load(model_folder)


@pytest.fixture(scope="session")
def familiar() -> OodReference:
    """What a model learns of two random fields of the same kind."""
    from random_fields import field, learned

    return learned(field(20, 160, 160, seed=1), field(20, 160, 160, seed=2))


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A request for a volume to be restored slab by slab; see `jobs_setup`."""
    from jobs_setup import small_request

    return small_request(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What that gives when nothing comes in between."""
    from jobs_setup import run, small_request

    def make(output: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            run(
                replace(small_request(tmp_path_factory.mktemp("undisturbed"), patch), output=output)
            )

    return made_once(tmp_path_factory, "undisturbed.ome.zarr", make)
