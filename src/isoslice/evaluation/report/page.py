"""Render a report as one self-contained HTML page: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files

from isoslice import __version__
from isoslice.evaluation.report.data import COLOURED, Report, Scene, Table
from isoslice.evaluation.report.encode import MAX_EMBEDDED_BYTES, VIRIDIS, Windows, data_uri, fitted
from isoslice.evaluation.report.pictures import column, position
from isoslice.evaluation.report.plots import fine_detail, profile_plot, spectrum_plots
from isoslice.evaluation.report.svg import Plot, line_plot
from isoslice.evaluation.report.text import embedded_json, safe
from isoslice.evaluation.report.viewpoints import doubtful_places, first_place
from isoslice.runtime.text import flat_pairs

#: The page's own scripts, in the order they run.
SCRIPTS = ("volumes.js", "plot.js", "views.js", "page.js")
#: Rows above which a table is folded.
MAX_OPEN_ROWS = 24


def html(report: Report, budget: int = MAX_EMBEDDED_BYTES) -> str:
    """Return the page as text.

    Parameters
    ----------
    report
        Its texts are escaped.
    budget
        Most bytes of the embedded volumes; the part shown is cropped to that.
    """
    body = [_header(report)]
    data = ""
    if report.scene is not None:
        scene, scale, blobs = fitted(report.scene, budget)
        at = first_place(scene)
        body += [
            _views(scene, scale, at),
            f'<div class="pair">{_comparison(scene)}{_advice(report)}</div>',
            _spectra(scene),
        ]
        data = _data(scene, scale, blobs, at)
    body += [
        _advice(report) if report.scene is None else "",
        *(_table(table) for table in report.tables),
        *(_picture(number, report) for number in range(len(report.pictures))),
        _provenance(report),
    ]
    scripts = _scripts() if report.scene is not None else []
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts) or "'none'"
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    # The large parts come last: the page appears before they are loaded.
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta name="generator" content="isoslice {safe(__version__)}">\n'
        f"<title>{safe(report.title)} · isoslice</title>\n"
        f"<style>\n{_asset('report.css')}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the report</a>\n'
        + "\n".join(part for part in body if part)
        + f"\n</main>\n{_footer(report)}\n{data}"
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    facts = "".join(
        f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>"
        for name, value in report.facts.items()
    )
    warning = f'<p class="notice" role="note">{safe(report.warning)}</p>' if report.warning else ""
    return (
        f'<header class="top"><div><p class="eyebrow">isoslice {safe(report.kind)}</p>'
        f"<h1>{safe(report.title)}</h1>"
        f'<p class="summary">{safe(report.summary)}</p></div>{warning}'
        + (f'<dl class="facts">{facts}</dl>' if facts else "")
        + '</header>\n<main id="main">'
    )


def _views(scene: Scene, scale: Windows, at: tuple[int, int, int]) -> str:
    columns = "".join(
        f'<div class="column" data-volume="{number}"><h3><span>{safe(volume.name)}</span></h3>'
        f"{column(scene, volume, scale, at)}</div>"
        for number, volume in enumerate(scene.volumes)
    )
    words, places = doubtful_places(scene)
    listed = "".join(
        f'<li><button type="button" class="go" data-at="{" ".join(map(str, place.at))}" disabled>'
        + ", ".join(
            f"{axis} {safe(position(scene, i, place.at[i]))}"
            for i, axis in ((2, "x"), (1, "y"), (0, "z"))
        )
        + "</button></li>"
        for place in places
    )
    doubt = (
        f"<h3>Where to look first</h3><p>Places {words}:</p><ol class='places'>{listed}</ol>"
        if listed
        else ""
    )
    sizes = " × ".join(map(str, scene.box.shape))
    whole = " × ".join(map(str, scene.whole))
    part = (
        f"This page carries a part of {sizes} voxels (Z, Y, X) of the {whole} in the volume, at "
        f"full resolution, beginning at voxel {', '.join(map(str, scene.box.start))}. "
        if scene.box.shape != scene.whole
        else f"All {sizes} voxels (Z, Y, X) are shown. "
    )
    return f"""
<section id="views" aria-labelledby="views-title">
<div class="heading"><h2 id="views-title">Views</h2>
<div class="tools" hidden><fieldset class="pills" id="toggles"><legend>Volumes</legend></fieldset>
<button type="button" id="still" aria-pressed="false">Still pictures</button></div></div>
<div class="stage" style="--n:{len(scene.volumes)};--aspect:{_aspect(scene):.5f}">
<div class="shown">
<div class="matrix pictures">{columns}</div>
<div class="matrix live" id="live" tabindex="0" role="group" hidden aria-label="Linked slices. Arrow
 keys move the cursor in X and Y, Page Up and Page Down in Z."></div>
<div class="legends">{_legends(scene, scale)}</div>
<p class="note">{part}Intensities are shown in 256 steps over one window for all volumes; values
outside it are cut off. <span id="why-still">Lines in the pictures show where the other two slices
cut.</span></p>
</div>
<div class="side" role="group" aria-label="Cursor and profile">
<div id="cursor" hidden><h3>Cursor</h3><div id="sliders"></div>
<p class="where" id="where" aria-live="polite"></p></div>
<h3>Intensities along Z</h3>
<div id="profile">{profile_plot(scene, scale, at)}</div>
{_key(scene, points=True)}
{doubt}
</div>
</div>
</section>"""


def _aspect(scene: Scene) -> float:
    """Compute the width of a column of three slices, relative to its height."""
    z, y, x = (n * step for n, step in zip(scene.box.shape, scene.voxel_size, strict=True))
    return max(x, y) / (y + 2 * z)


def _legends(scene: Scene, scale: Windows) -> str:
    def legend(kind: str, name: str, window: tuple[float, float]) -> str:
        return (
            f'<div class="legend"><span>{name}</span><span>{window[0]:.4g}</span>'
            f'<span class="ramp {kind}"></span><span>{window[1]:.4g}</span></div>'
        )

    roles = {volume.role for volume in scene.volumes}
    legends = [legend("grey", "intensity", scale.grey)] if roles - set(COLOURED) else []
    names = [role for role in COLOURED if role in roles]
    if names:
        legends.append(legend("viridis", f"{' and '.join(names)}, in intensities", scale.coloured))
    return "".join(legends)


def _key(scene: Scene, points: bool = False) -> str:
    """Render the key of a plot: its lines, and if it has points, these and a band."""
    items = [
        f'<li class="{"dots" if points and volume.role == "input" else ""}">'
        f'<i class="{scene.kind(volume)}"></i>'
        f"{safe('measured planes' if volume.role == 'input' else volume.name)}</li>"
        for volume in scene.volumes
        if volume.role not in COLOURED
    ]
    if (
        points
        and scene.first("uncertainty") is not None
        and scene.first("restored", "sample") is not None
    ):
        items.append(f'<li><i class="band"></i>{safe(scene.band)}</li>')
    return f'<ul class="key">{"".join(items)}</ul>'


def _comparison(scene: Scene) -> str:
    """Render the before/after slider, which shows the pictures of the views."""
    roles = [volume.role for volume in scene.volumes]
    if len(roles) < 2:
        return ""
    before = roles.index("linear") if "linear" in roles else 0
    after = next((i for i, r in enumerate(roles) if r in ("restored", "sample")), len(roles) - 1)

    def options(chosen: int) -> str:
        return "".join(
            f'<option value="{i}"{" selected" if i == chosen else ""}>{safe(volume.name)}</option>'
            for i, volume in enumerate(scene.volumes)
        )

    return f"""
<section id="compare" aria-labelledby="compare-title" hidden>
<div class="heading"><h2 id="compare-title">Before and after</h2>
<div class="tools"><label>Before <select id="before">{options(before)}</select></label>
<label>After <select id="after">{options(after)}</select></label>
<label>Slice <select id="slice"><option selected>XZ</option><option>YZ</option><option>XY</option>
</select></label></div></div>
<div class="wipe" id="wipe"><img class="under" alt=""><img class="over" alt="">
<span class="tag left"></span><span class="tag right"></span><i class="edge"></i></div>
<label class="wide">How much of each is shown
<input type="range" id="share" min="0" max="100" value="50" step="1"></label>
</section>"""


def _spectra(scene: Scene) -> str:
    plots = spectrum_plots(scene)
    if not plots:
        return ""
    isotropic = max(scene.voxel_size) < 1.1 * min(scene.voxel_size)  # else axes do not compare
    said = [
        f"{volume.name} {ratio:.2f}"
        for volume in scene.volumes
        if isotropic
        and volume.role in ("linear", "restored", "sample", "truth")
        and (ratio := fine_detail(volume)) is not None
    ]
    ratios = (
        f" Fine detail along Z, relative to that along X and Y: {safe(', '.join(said))}."
        if said
        else ""
    )
    drawn = "".join(f"<figure><h3>{title}</h3>{plot}</figure>" for title, plot in plots)
    return f"""
<section id="spectra" aria-labelledby="spectra-title"><h2 id="spectra-title">Power spectra</h2>
<p class="lead">How much detail there is at each fineness. In an isotropic volume the curve along Z
runs like those along Y and X. Detail finer than measured can only be invented, or assumed
away.{ratios}</p>
<div class="plots">{drawn}</div>{_key(scene)}</section>"""


def _advice(report: Report) -> str:
    if not report.advice:
        return ""
    cards = "".join(
        f"<div><h3>{safe(one.title)}</h3><p>{safe(one.text)}</p></div>" for one in report.advice
    )
    return (
        '\n<section id="advice" aria-labelledby="advice-title"><h2 id="advice-title">'
        f'How far to trust it</h2><div class="cards">{cards}</div></section>'
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{safe(name)}</th>' for name in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{safe(row[0])}</th>'
        + "".join(f"<td>{safe(value)}</td>" for value in row[1:])
        + "</tr>"
        for row in table.rows
    )
    caption = f'<p class="note">{safe(table.caption)}</p>' if table.caption else ""
    shown = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{safe(table.title)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    if not table.rows:
        shown = ""
    elif len(table.rows) > MAX_OPEN_ROWS:
        shown = f"<details><summary>All {len(table.rows)} rows</summary>{shown}</details>"
    plot = _plot(table.plot, table.title) if table.plot else ""
    return f'\n<section class="table"><h2>{safe(table.title)}</h2>{plot}{shown}{caption}</section>'


def _plot(plot: Plot, alt: str) -> str:
    drawn = line_plot(plot, alt)
    items = (f'<li><i class="{safe(one.kind)}"></i>{safe(one.label)}</li>' for one in plot.lines)
    return f'<figure class="single">{drawn}<ul class="key">{"".join(items)}</ul></figure>'


def _picture(number: int, report: Report) -> str:
    picture = report.pictures[number]
    return (
        f'\n<section class="picture"><h2>{safe(picture.title)}</h2>'
        f'<img src="{data_uri(picture.png)}" alt="{safe(picture.alt)}"></section>'
    )


def _provenance(report: Report) -> str:
    rows = "".join(
        f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>"
        for name, value in flat_pairs(report.provenance)
    )
    if not rows:
        return ""
    return (
        '\n<section id="provenance" aria-labelledby="provenance-title">'
        '<h2 id="provenance-title">How it was made</h2>'
        f'<dl class="provenance">{rows}</dl></section>'
    )


def _footer(report: Report) -> str:
    keys = (
        "<p>Keys, with the views in focus: <kbd>←</kbd> <kbd>→</kbd> along X, <kbd>↑</kbd> "
        "<kbd>↓</kbd> along Y, <kbd>Page Up</kbd> <kbd>Page Down</kbd> along Z, with "
        "<kbd>Shift</kbd> ten at a time, <kbd>M</kbd> to the next measured plane, <kbd>+</kbd> "
        "<kbd>−</kbd> zoom, <kbd>Home</kbd> back to the start.</p>"
        if report.scene is not None
        else ""
    )
    viewer = (
        " The viewer is niivue (BSD 2-Clause); its terms are in this file."
        if report.scene is not None
        else ""
    )
    return (
        f"<footer>{keys}<p>Made by isoslice {safe(__version__)}. This page is one file: it loads "
        f"nothing and sends nothing.{viewer}</p></footer>"
    )


def _data(scene: Scene, scale: Windows, blobs: Mapping[str, str], at: tuple[int, int, int]) -> str:
    names = [volume.name for volume in scene.volumes]
    volumes = [
        {
            "name": volume.name,
            "role": volume.role,
            "kind": scene.kind(volume),
            "coloured": volume.role in COLOURED,
            "window": scale.of(volume),
            "made": None
            if volume.derived is None
            else {"by": volume.derived.by, "of": [names.index(n) for n in volume.derived.of]},
        }
        for volume in scene.volumes
    ]
    value = {
        "shape": scene.box.shape,
        "start": scene.box.start,
        "voxelSize": scene.voxel_size,
        "towards": scene.towards,
        "unit": scene.unit,
        "known": scene.known,
        "points": scene.points,
        "grey": scale.grey,
        "at": at,
        "viridis": VIRIDIS,
        "volumes": volumes,
    }
    parts = [f'<script type="application/json" id="scene">{embedded_json(value)}</script>\n']
    for number, name in enumerate(names):
        if name in blobs:
            parts.append(f'<script type="text/plain" id="voxels-{number}">{blobs[name]}</script>\n')
    return "".join(parts)


def _scripts() -> list[str]:
    """Return niivue, and the page's own script as one."""
    own = "\n".join(_asset(name) for name in SCRIPTS)
    niivue = files("isoslice.evaluation.report").joinpath("vendor/niivue.min.js").read_text("utf-8")
    return [niivue, f'"use strict";\n(() => {{\n{own}}})();\n']


def _asset(name: str) -> str:
    return files("isoslice.evaluation.report").joinpath("assets", name).read_text("utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
