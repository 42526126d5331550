"""Static pictures of slices with scale bars, for browsers without scripts or WebGL."""

from __future__ import annotations

from dataclasses import dataclass

from isoslice.evaluation.figures import round_length
from isoslice.evaluation.report.data import COLOURED, Layer, Scene
from isoslice.evaluation.report.encode import Windows, as_bytes, coloured, data_uri, png
from isoslice.evaluation.report.text import safe

#: Axes (of Z, Y, X) that run down and across in each slice.
SLICE_AXES = {"XY": (1, 2), "XZ": (0, 2), "YZ": (0, 1)}


@dataclass(frozen=True)
class ScaleBar:
    """A round length, its share of a picture's width, and its label."""

    length: float
    share: float
    label: str


def scale_bar(width: float, unit: str) -> ScaleBar:
    """Return the longest round bar of at most a third of a picture `width` units wide."""
    length = round_length(width / 3)
    return ScaleBar(length, length / width, f"{length:g} {unit}")


def extents(scene: Scene) -> tuple[float, float, float]:
    """Compute the physical sides of the part shown, along Z, Y and X."""
    z, y, x = (n * step for n, step in zip(scene.box.shape, scene.voxel_size, strict=True))
    return z, y, x


def column(scene: Scene, volume: Layer, scale: Windows, at: tuple[int, int, int]) -> str:
    """Render three pictures of a volume, XY over XZ over YZ, as HTML."""
    sizes = extents(scene)
    widest = max(sizes[1], sizes[2])
    parts = []
    for slice_name, (down, across) in SLICE_AXES.items():
        fixed = ({0, 1, 2} - {down, across}).pop()
        levels = as_bytes(volume.voxels.take(at[fixed], axis=fixed), scale.of(volume))
        encoded = png(coloured(levels) if volume.role in COLOURED else levels)
        bar = scale_bar(sizes[across], scene.unit)
        n_down, n_across = scene.box.shape[down], scene.box.shape[across]
        place = f"{'ZYX'[fixed].lower()} = {position(scene, fixed, at[fixed])}"
        parts.append(
            f'<figure class="slice" style="width:{100 * sizes[across] / widest:.3f}%">'
            f'<img src="{data_uri(encoded)}" data-slice="{slice_name}" width="{n_across}" '
            f'height="{n_down}" style="aspect-ratio:{sizes[across]:.6g}/{sizes[down]:.6g}" '
            f'alt="{safe(f"{volume.name}, {slice_name} slice at {place}")}">'
            f'<i class="cut across" style="top:{100 * (at[down] + 0.5) / n_down:.2f}%"></i>'
            f'<i class="cut down" style="left:{100 * (at[across] + 0.5) / n_across:.2f}%"></i>'
            f"<figcaption>{slice_name}{_towards(scene, down, across)}</figcaption>"
            f"{bar_html(bar)}</figure>"
        )
    return "".join(parts)


def _towards(scene: Scene, down: int, across: int) -> str:
    """Say where a slice runs to in a patient, to the right and down; as views.js does."""
    return f" → {scene.towards[across]} ↓ {scene.towards[down]}" if scene.towards else ""


def bar_html(bar: ScaleBar) -> str:
    """Render a scale bar over the lower right corner of a picture."""
    return (
        f'<span class="bar" style="width:{100 * bar.share:.2f}%"><span>{safe(bar.label)}</span>'
        "</span>"
    )


def position(scene: Scene, axis: int, index: int) -> str:
    """Format the position of a voxel of the part shown in the whole volume, with its unit."""
    length = (scene.box.start[axis] + index) * scene.voxel_size[axis]
    return f"{length:.4g} {scene.unit}"
