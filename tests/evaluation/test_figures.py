"""The comparison picture: it is drawn, and shows what it should."""

import imageio.v3 as iio
import numpy as np
import pytest

from conftest import texture
from isoslice.errors import DataError, OutputError
from isoslice.evaluation.figures import choose_view, comparison_figure

pytest.importorskip("matplotlib")


def volumes():
    truth = texture(17, 40, 50)
    return {"input": truth[::4], "dark": truth * 0, "truth": truth}


def test_a_picture_is_written(tmp_path):
    comparison_figure(volumes(), (0.3, 0.2, 0.2), tmp_path / "a.png")
    picture = iio.imread(tmp_path / "a.png")[..., :3].astype(float)
    height, width = picture.shape[:2]
    assert width > 900
    # Three columns: the middle one shows a volume of zeros, the outer ones structure.
    band = picture[height // 4 : height // 2]
    left, middle, right = (band[:, width * i // 8 : width * (i + 1) // 8] for i in (1, 4, 6))
    assert left.std() > 20
    assert right.std() > 20
    assert middle.std() < 20


def test_the_view_shows_a_missing_plane_where_there_is_most_to_see():
    volume = np.zeros((17, 60, 60), np.uint8)
    volume[:, 40:50, 10:20] = texture(17, 10, 10)
    view = choose_view(volume, factor=4, crop=20)
    assert view.z % 4 == 2
    assert view.rows.start <= 40
    assert view.rows.stop >= 50
    assert 40 <= view.y < 50
    assert 10 <= view.x < 20


def test_volumes_that_do_not_fit_are_refused(tmp_path):
    bad = {**volumes(), "other": np.zeros((7, 40, 50))}
    with pytest.raises(DataError, match="other"):
        comparison_figure(bad, (1, 1, 1), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_picture_is_not_overwritten_unasked(tmp_path):
    (tmp_path / "a.png").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="exists"):
        comparison_figure(volumes(), (1, 1, 1), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text(encoding="utf-8") == "mine"
