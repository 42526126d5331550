"""DICOM series, written by pydicom."""

import numpy as np
import pydicom

DATA = np.random.default_rng(0).integers(0, 4000, (5, 8, 7)).astype(np.int16)
CT, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
LITTLE = "1.2.840.10008.1.2.1"
ROW, COLUMN = (0.8, 0.6, 0.0), (-0.6, 0.8, 0.0)
STEPS = (0.7, 0.5, 3.0)  # along X, Y and Z


def save(path, plane, position=(0.0, 0.0, 0.0), number=1, syntax=LITTLE, **tags):
    """Write one file; `tags` by keyword, as pydicom names them."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", CT)
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID = CT
    data.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[str(path)])
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID = "1.2.3", "1.2"
    data.SeriesDescription, data.InstanceNumber, data.Modality = "chest", number, "CT"
    data.ImagePositionPatient = [float(p) for p in position]
    data.ImageOrientationPatient = [*ROW, *COLUMN]
    data.PixelSpacing = [STEPS[1], STEPS[0]]
    data.SliceThickness = 9.0  # no spacing
    data.Rows, data.Columns = plane.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * plane.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(plane.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    implicit = syntax == "1.2.840.10008.1.2"
    big = syntax == "1.2.840.10008.1.2.2"
    data.PixelData = plane.astype(plane.dtype.newbyteorder(">" if big else "<")).tobytes()
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    pydicom.dcmwrite(
        path, data, enforce_file_format=True, implicit_vr=implicit, little_endian=not big
    )
    return path


def place(number, step=STEPS[2]):
    """Position of a plane of a series that rises to the head."""
    return (-90.5, 12.25, 30.0 + step * number)


def series(folder, planes=DATA, order=(3, 0, 4, 1, 2), numbers=None, **tags):
    """Write planes under names and numbers that tell nothing of their order."""
    folder.mkdir(exist_ok=True)
    for name, index in enumerate(order):
        number = name if numbers is None else numbers[index]
        save(folder / f"IMG{name:02}.dcm", planes[index], place(index), number, **tags)
    return folder


def affine(steps=STEPS):
    matrix = np.eye(4)
    matrix[:3, :3] = np.transpose([ROW, COLUMN, (0, 0, 1)]) * steps
    matrix[:3, 3] = place(0)
    return np.diag([-1, -1, 1, 1]) @ matrix


def multiframe(path, positions, planes=DATA, thickness=None):
    """An enhanced file, whose places are in sequences."""
    frames = pydicom.Sequence()
    for position in positions:
        item, inner = pydicom.Dataset(), pydicom.Dataset()
        inner.ImagePositionPatient = [float(p) for p in position]
        item.PlanePositionSequence = pydicom.Sequence([inner])
        frames.append(item)
    shared, turned, measures = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    turned.ImageOrientationPatient = [*ROW, *COLUMN]
    measures.PixelSpacing = [STEPS[1], STEPS[0]]
    if thickness is not None:
        measures.SliceThickness = thickness
    shared.PlaneOrientationSequence = pydicom.Sequence([turned])
    shared.PixelMeasuresSequence = pydicom.Sequence([measures])
    save(
        path,
        planes,
        SOPClassUID=ENHANCED_CT,
        NumberOfFrames=len(planes),
        PerFrameFunctionalGroupsSequence=frames,
        SharedFunctionalGroupsSequence=pydicom.Sequence([shared]),
    )
    data = pydicom.dcmread(path)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, name)
    del data.SliceThickness
    data.save_as(path)
    return path
