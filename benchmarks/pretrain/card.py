"""Write docs/reference/pretrained-data.md: ``PYTHONPATH=benchmarks python -m pretrain.card``.

Everything that it says of files comes from the manifest, so that a test can tell whether it is
current; what folders show, and notices, are in `sources`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from isoslice.errors import DataError
from pretrain.corpus import LEAST_SIDE, MOST_PLANES, Entry, read_manifest
from pretrain.excluded import EXCLUDED, MISFILED, reason_of
from pretrain.pack import HELD_FROM, SIDE, TILES, held_out
from pretrain.sources import DOUBTS, LICENCES, NOTICES, SHOWS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pretrained-data.md"

ABSENT = (
    "**Kinds of images**: stimulated Raman histology, optical coherence tomography, ultrasound, "
    "micro-CT, FIB-SEM, PET, DIC, polarisation, X-ray microscopy, electron microscopy by most "
    "methods but SEM and TEM of sections, photographs. Names of modalities are the corpus's.",
    "**Test data**: none of the animals or scans of this project's own test volumes, as far as is "
    "known (see Doubts).",
    "**Third dimension**: planes are learned from one by one. Nothing is learned of how slices "
    "follow each other, or of the blur along Z.",
    "**Balance**: four files in ten show nuclei; sample by modality. One scan, animal or slide "
    "gives several files in CT, MRI, electron microscopy and two-photon microscopy.",
    "**Other intensities**: no labels, masks, renderings or compressed video. Some files were "
    "compressed by JPEG before (histology, smears), and most are 8 bits deep.",
    "**People**: no names, no records. CT and MRI are of few people, who are not a sample of "
    "anything.",
)


def name_of(source: str) -> str:
    """Return a source's name without its commit or version."""
    return source.split("@")[0].split("==")[0]


def link(source: str) -> str:
    """Return a Markdown link to a source as it was when its files were taken."""
    if "==" in source:
        name, version = source.split("==")
        return f"[{name} {version}](https://pypi.org/project/{name}/{version}/)"
    repository, _, rest = source.partition("@")
    commit, _, history = rest.partition(" ")
    where = f"https://github.com/{repository}/tree/{commit}"
    return f"[{repository}@{commit[:7]}]({where}){' ' * bool(history)}{history}"


def check(entries: Sequence[Entry]) -> None:
    """Raise `DataError` unless it is known what each folder shows and what each source asks."""
    for entry in entries:
        if name_of(entry.source) not in NOTICES:
            raise DataError(f"{entry.file}: got the source {entry.source}, expected it in NOTICES")
        if folder_of(entry) not in SHOWS:
            raise DataError(
                f"{entry.file}: got the folder {folder_of(entry)}, expected it in SHOWS"
            )
        if not entry.licence.startswith(tuple(LICENCES)):
            raise DataError(
                f"{entry.file}: got the licence {entry.licence}, expected one that allows weights "
                f"to be distributed: {', '.join(LICENCES)}; leave the file out of the manifest"
            )


def folder_of(entry: Entry) -> str:
    """Return the folder of the corpus that a file lies in."""
    return entry.file.rpartition("/")[0]


def files_table(entries: Sequence[Entry]) -> Iterator[str]:
    """List folders by modality: what they show, source, licence, how many files are used."""
    groups = Counter((e.modality, folder_of(e), e.source, e.licence) for e in entries)
    used = Counter(
        (e.modality, folder_of(e), e.source, e.licence) for e in entries if not reason_of(e.file)
    )
    yield "| modality | shows | files | source | licence |"
    yield "|---|---|---|---|---|"
    for key in sorted(groups):
        modality, folder, source, licence = key
        count = str(used[key]) if used[key] == groups[key] else f"{used[key]} of {groups[key]}"
        yield f"| {modality} | {SHOWS[folder]} | {count} | {link(source)} | {licence} |"


def notices(entries: Sequence[Entry]) -> Iterator[str]:
    """List credits and copyright notices, by licence."""
    names = {name_of(entry.source) for entry in entries if not reason_of(entry.file)}
    for licence, text in LICENCES.items():
        lines = [f"- {name}: {NOTICES[name].line.rstrip('.')}."
                 for name in sorted(names, key=str.casefold)
                 if NOTICES[name].licence == licence]  # fmt: skip
        if lines:
            yield from (f"### {licence}", "", f"Text: <{text}>", "", *lines, "")


def excluded(entries: Sequence[Entry]) -> Iterator[str]:
    """List what is left out, and why."""
    reasons = dict.fromkeys(EXCLUDED.values())
    for reason in reasons:
        starts = [start for start, why in EXCLUDED.items() if why == reason]
        count = sum(entry.file.startswith(tuple(starts)) for entry in entries)
        where = starts[0] if len(starts) == 1 else f"{starts[0].rpartition('/')[0]}/"
        yield f"- `{where}` ({count} file{'s' * (count > 1)}): {reason}."


def page(entries: Sequence[Entry]) -> str:
    """Compose the page."""
    check(entries)
    kept = [entry for entry in entries if not reason_of(entry.file)]
    aside = held_out(kept)
    modalities = Counter(entry.modality for entry in kept)
    counts = ", ".join(f"{count} {name}" for name, count in modalities.most_common())
    lines = [
        "# Data that pretrained weights were learned from",
        "",
        "<!-- Written by benchmarks/pretrain/card.py from the corpus's manifest: change that. -->",
        "",
        f"{len(kept)} files of {len(modalities)} modalities ({counts}), of {len(entries)} in the "
        "corpus. Every one has a licence that allows weights to be distributed. Changes that were "
        "made: channels were taken apart (of colours, one was taken), intensities scaled to 8 bits "
        "by their 0.1 and 99.9 percentiles, the most structured parts cut out.",
        "",
        f"- At most {MOST_PLANES} planes of a stack or movie, blank and damaged ones left out; "
        f"none with a side under {LEAST_SIDE} pixels.",
        f"- Parts of at most {SIDE} x {SIDE} pixels: one of each plane, up to {TILES} where a "
        "modality has few files.",
        f"- {len(aside)} files are held out, a twentieth of each modality (at least one, where "
        f"there are {HELD_FROM} files or more). Other files of the same scan, animal or slide are "
        "not: what is measured on them is kinder than on a new specimen.",
        f"- {len([e for e in kept if e.file.startswith(tuple(MISFILED))])} files are counted as "
        "another modality than the manifest's, as they show.",
        "",
        "## Sources",
        "",
        *files_table(entries),
        "",
        "## Credits and notices",
        "",
        "Weights hold no images. These are named as their licences ask of who passes the images "
        "on, and because they made it possible.",
        "",
        *notices(entries),
        "## What is not in it",
        "",
        *(f"- {line}" for line in ABSENT),
        "",
        "Files of the corpus that are not learned from:",
        "",
        *excluded(entries),
        "",
        "## Doubts",
        "",
        *(f"- `{folder}`: {doubt}" for folder, doubt in DOUBTS.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pretrain.card", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"), metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, default=PAGE, metavar="FILE.md")
    options = parser.parse_args()
    options.output.write_text(page(read_manifest(options.corpus)), encoding="utf-8")


if __name__ == "__main__":
    main()
