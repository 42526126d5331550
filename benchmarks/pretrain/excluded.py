"""Files of the corpus that are not learned from, each with the reason, and those misfiled."""

from __future__ import annotations

#: Paths within the corpus, or beginnings of them, and why nothing is learned from these.
EXCLUDED: dict[str, str] = {
    "ct/ge_head_ct/": "thick oblique slices that graze the top of a head: blurred all over, and "
    "from the same collection as the head that volumes/head_ct_*.tif are tests of",
    "electron_microscopy/neubias/xy_8bit__em_fly_eye.tif": "the microscope's strip of text at the "
    "bottom, and relief lit from the side, which is no section",
    "fluorescence_cells/neubias/xyc_8bit__cyto_nuclei.tif": "blotches of lossy compression, 25 "
    "levels",
    "fluorescence_nuclei/napari_bio_sample/2D_timelapse.tif": "a movie of the Cell Tracking "
    "Challenge, whose terms ask for a permission that the package's licence cannot give",
    "fluorescence_nuclei/neubias/r1_DAPI_downsampled.tif": "pixels left out without averaging: "
    "aliased, grains in place of nuclei",
    "fluorescence_nuclei/neubias/xy_8bit__mitocheck_incenp": "blocks of lossy compression",
    **{
        f"electron_microscopy/itkelastix_lung_serial_sem/2016_12_02_0101_s00_{number}": "the same "
        "field as a section beside it that is kept; twelve of them would be half of the modality"
        for number in ("02", "03", "05", "06", "08", "09", "11", "12")
    },
}

WORMS = "brightfield/cp_worms_brightfield/1649_1109_0003_Amp5-1_B_20070424"
WORMS = "brightfield/cp_worms_brightfield/1649_1109_0003_Amp5-1_B_20070424"
#: Beginnings of paths of files that show another modality than the manifest says.
MISFILED: dict[str, str] = {
    f"{WORMS}_C01_w1": "fluorescence_cells",
    f"{WORMS}_C20_w1": "fluorescence_cells",
    "fluorescence_cells/cellpainting/ped_r03c03f03p01-ch1": "brightfield",
}


def reason_of(file: str) -> str | None:
    """Say why a file of the corpus is excluded; None where it is not."""
    return next((why for start, why in EXCLUDED.items() if file.startswith(start)), None)


def modality_of(file: str, stated: str) -> str:
    """Return what a file shows: what the manifest states, unless it is misfiled."""
    return next((shown for start, shown in MISFILED.items() if file.startswith(start)), stated)
