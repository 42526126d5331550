"""Small valid files of every format, by reader, for the fuzz to damage."""

from samples import hdf5, medical, models, omezarr, plain, tiff
from samples.reader import Reader, check_volume, store

__all__ = ["READERS", "Reader", "store"]

READERS = (
    Reader("TIFF, plain", ".tif", tiff.plain, check_volume),
    Reader("TIFF, ImageJ", ".tif", tiff.imagej, check_volume),
    Reader("TIFF, OME", ".ome.tif", tiff.ome, check_volume),
    Reader("TIFF, compressed", ".tif", tiff.packed, check_volume),
    Reader("TIFF, several files", ".companion.ome", tiff.several_files, check_volume),
    Reader("LSM", ".lsm", tiff.lsm, check_volume),
    Reader("OME-Zarr 0.4", ".zarr", omezarr.zarr4, check_volume),
    Reader("OME-Zarr 0.5", ".zarr", omezarr.zarr5, check_volume),
    Reader("OME-Zarr, several", ".zarr", omezarr.several_images, omezarr.check_each),
    Reader("OME-Zarr, zipped", ".zarr.zip", omezarr.zipped, check_volume),
    Reader("npy", ".npy", plain.npy, check_volume),
    Reader("NIfTI", ".nii", medical.written_as(".nii"), check_volume),
    Reader("NIfTI, gzip", ".nii.gz", medical.written_as(".nii.gz"), check_volume),
    Reader("NIfTI, oriented", ".nii", medical.oriented(".nii"), check_volume),
    Reader("NIfTI, Analyze, pairs", ".hdr", medical.neuro(".hdr"), check_volume),
    Reader("MGH", ".mgh", medical.neuro(".mgh"), check_volume),
    Reader("MGH, gzip", ".mgz", medical.neuro(".mgz"), check_volume),
    Reader("NRRD", ".nrrd", medical.nrrd, check_volume),
    Reader("MetaImage", ".mha", medical.metaimage, check_volume),
    Reader("DICOM", ".dcm", medical.dicom, check_volume),
    Reader("DICOM series", ".series", medical.dicom_series, check_volume),
    Reader("PNG", ".png", plain.picture(".png"), check_volume),
    Reader("JPEG", ".jpg", plain.picture(".jpg"), check_volume),
    Reader("BMP", ".bmp", plain.picture(".bmp"), check_volume),
    Reader("folder of planes", ".planes", plain.planes, check_volume),
    Reader("MRC", ".mrc", plain.mrc(".mrc"), check_volume),
    Reader("MRC, gzip", ".mrc.gz", plain.mrc(".mrc.gz"), check_volume),
    Reader("HDF5", ".h5", hdf5.datasets, check_volume),
    Reader("Imaris", ".ims", hdf5.imaris, check_volume),
    Reader("BigDataViewer", ".bdv", hdf5.bdv, hdf5.check_project),
    Reader("model folder", ".model", models.folder, models.load_model),
    Reader("MSDSR checkpoint", ".ckpt", models.msdsr, models.load_checkpoint),
    Reader("bioimage.io package", ".zip", models.packages, models.load_package),
)
