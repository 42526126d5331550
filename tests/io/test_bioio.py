"""CZI, ND2 and LIF through bioio: real files where there are, and a stand-in for the rest."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import texture
from isoslice.data.metadata import Optics
from isoslice.data.optics import stated_profile
from isoslice.data.profile import parse_profile
from isoslice.errors import DataError, IsosliceWarning
from isoslice.io import read_volume
from isoslice.io.reading import open_volume

FORMATS = Path(__file__).parents[3] / "shared" / "formats"
STACK = texture(5, 12, 16)
SIZES = (4.0, 0.5, 0.25)


@pytest.fixture
def bioio(monkeypatch):
    """Put a stand-in for bioio and its plugins in place; returns a function that fills it."""
    da = pytest.importorskip("dask.array")

    class BioImage:
        scenes: dict[str, np.ndarray]
        sizes = SIZES
        time_interval: object = None

        def __init__(self, path, reader=None, **options):
            assert reader is not None
            if path.read_text(encoding="utf-8") == "bad":
                raise AttributeError("no\nreader")
            self.channel_names = ["DAPI"]
            self.physical_pixel_sizes = SimpleNamespace(**dict(zip("ZYX", self.sizes, strict=True)))
            self.set_scene(0)

        def set_scene(self, number):
            data = list(self.scenes.values())[number]
            self.dask_data = da.from_array(data, chunks=(1, 1, 1, *data.shape[3:]))
            order = "TCZYXS"[: data.ndim]
            self.dims = SimpleNamespace(order=order, shape=data.shape)
            self.dtype = data.dtype

        @property
        def ome_metadata(self):
            raise NotImplementedError

    monkeypatch.setitem(sys.modules, "bioio", SimpleNamespace(BioImage=BioImage))
    for name in ("czi", "nd2", "lif"):
        monkeypatch.setitem(sys.modules, f"bioio_{name}", SimpleNamespace(Reader=object))

    def fill(scenes, **values):
        BioImage.scenes = scenes
        for name, value in values.items():
            setattr(BioImage, name, value)

    return fill


@pytest.mark.parametrize("suffix", [".czi", ".nd2", ".lif"])
def test_a_single_scene_is_read(tmp_path, bioio, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("x", encoding="utf-8")
    bioio({"one": STACK[None, None]})
    volume = open_volume(path)
    assert (volume.axes, volume.voxel_size, volume.unit) == ("ZYX", SIZES, "micrometer")
    assert volume.channel_names == ("DAPI",)
    assert np.array_equal(volume.data[1:4, 3], STACK[1:4, 3])
    assert np.array_equal(read_volume(path).data, STACK)
    bioio({"one": STACK[None, None, :1]}, sizes=(None, None, None))
    volume = read_volume(path)
    assert (volume.axes, volume.unit) == ("YX", None)


def test_colour_becomes_channels_and_time_has_its_step(tmp_path, bioio):
    (tmp_path / "a.czi").write_text("x", encoding="utf-8")
    colour = texture(2, 1, 5, 12, 16, 3)
    bioio({"one": colour}, time_interval=timedelta(seconds=2.5))
    volume = read_volume(tmp_path / "a.czi")
    assert volume.axes == "TCZYX"
    assert np.array_equal(volume.data, np.moveaxis(colour[:, 0], -1, 1))
    assert (volume.metadata.time_step, volume.metadata.time_unit) == (2.5, "second")


def test_scenes_are_told_and_chosen(tmp_path, bioio):
    (tmp_path / "a.lif").write_text("x", encoding="utf-8")
    bioio({"overview": STACK[None, None, :2, :4, :4], "stack": STACK[None, None]})
    with pytest.warns(IsosliceWarning, match=r"holds 2 images, took 0 'overview'.*1 'stack' \(ZYX"):
        assert read_volume(tmp_path / "a.lif").data.shape == (2, 4, 4)
    assert np.array_equal(read_volume(tmp_path / "a.lif", series="stack").data, STACK)
    assert np.array_equal(read_volume(tmp_path / "a.lif", series=1).data, STACK)


def test_what_a_plugin_raises_is_told_in_one_line(tmp_path, bioio):
    (tmp_path / "a.czi").write_text("bad", encoding="utf-8")
    with pytest.raises(DataError, match=r"by bioio-czi \(no reader\).*OME-TIFF"):
        read_volume(tmp_path / "a.czi")


@pytest.mark.parametrize("missing", ["bioio", "bioio_nd2"])
def test_what_is_not_installed_is_named(tmp_path, bioio, monkeypatch, missing):
    (tmp_path / "a.nd2").write_text("x", encoding="utf-8")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DataError, match="python -m pip install bioio bioio-nd2"):
        read_volume(tmp_path / "a.nd2")


@pytest.mark.parametrize("suffix", ["czi", "nd2", "lif"])
def test_nonsense_is_refused(tmp_path, suffix):
    pytest.importorskip(f"bioio_{suffix}")
    (tmp_path / f"a.{suffix}").write_bytes(b"nonsense" * 100)
    with pytest.raises(DataError) as caught:
        read_volume(tmp_path / f"a.{suffix}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ((1, 5, 9, 17, 21), (0, 4, 8, 16, 20)),
        ((20, 16, 8, 4, 0), (0, 4, 12, 16, 20)),
        ((3.5,) * 5, None),
    ],
)
def test_where_planes_lie_and_through_what(tmp_path, bioio, places, found):
    model = pytest.importorskip("ome_types").model
    (tmp_path / "a.nd2").write_text("x", encoding="utf-8")
    planes = [
        model.Plane(the_z=z, the_c=c, the_t=0, position_z=at / 1000, position_z_unit="mm")
        for z, at in enumerate(places)
        for c in range(2)
    ]
    channels = [
        model.Channel(emission_wavelength=wave, acquisition_mode="WideField") for wave in (500, 600)
    ]
    pixels = model.Pixels(
        dimension_order="XYZCT", type="uint8", size_x=16, size_y=12, size_z=5, size_c=2, size_t=1,
        channels=channels, planes=planes, metadata_only=True,
    )  # fmt: skip
    objective = model.Objective(id="Objective:3", lens_na=0.8, immersion="Water")
    image = model.Image(pixels=pixels, objective_settings={"id": "Objective:3"})
    ome = model.OME(images=[image], instruments=[model.Instrument(objectives=[objective])])
    bioio({"one": np.stack([STACK, STACK])[None]}, ome_metadata=ome)
    volume = open_volume(tmp_path / "a.nd2")
    assert volume.axes == "CZYX"
    assert volume.z_positions == (None if found is None else pytest.approx(found))
    assert volume.spacing["Z"] == pytest.approx(4.0)
    assert volume.metadata.optics == Optics(0.8, 1.333, (500.0, 600.0), "widefield")


@pytest.mark.shared
@pytest.mark.skipif(not FORMATS.is_dir(), reason="no shared folder beside the checkout")
def test_a_real_czi_has_two_images():
    pytest.importorskip("bioio_czi")
    path = FORMATS / "czi" / "xyz__multiple_images.czi"
    with pytest.warns(IsosliceWarning, match="holds 2 images"):
        first = read_volume(path)
    second = read_volume(path, series="xyz__multiple_images-1")
    for volume, means in ((first, (13716.464, 13344.149)), (second, (12475.749, 12146.007))):
        assert volume.axes == "ZYX"
        assert volume.data.shape == (2, 251, 251)
        assert volume.data.mean((1, 2)) == pytest.approx(means)
        assert volume.voxel_size == pytest.approx((0.3, 0.195644, 0.195644), rel=1e-4)
    assert first.channel_names == ("ChA",)
    assert first.metadata.optics == Optics(
        pytest.approx(1.4), 1.518, (pytest.approx(578.6, abs=0.1),), "confocal"
    )
    kind, width = parse_profile(stated_profile(first))
    assert (kind, width) == ("gaussian", pytest.approx(0.367, abs=0.001))


@pytest.mark.shared
@pytest.mark.skipif(not FORMATS.is_dir(), reason="no shared folder beside the checkout")
def test_a_real_nd2_is_what_the_library_nd2_reads():
    pytest.importorskip("bioio_nd2")
    nd2 = pytest.importorskip("nd2")
    path = FORMATS / "nd2" / "cluster.nd2"
    volume = open_volume(path)
    assert volume.axes == "TCZYX"
    assert np.array_equal(volume.data[...], nd2.imread(path).transpose(0, 2, 1, 3, 4))
    assert volume.voxel_size == pytest.approx((0.5, 0.1678090, 0.1678090))
    assert volume.channel_names == ("5-FAM/pH 9.0", "FM 4-64/2% CHAPS")
    assert [each.color for each in volume.metadata.displays] == ["78E90F", "FE0100"]
    # Every plane of it is stated to lie at 3912.3375 µm.
    assert (volume.z_positions, volume.spacing["Z"]) == (None, 0.5)
    assert volume.metadata.optics == Optics(0.95, 1.0, (525.0, 700.0), "confocal")
