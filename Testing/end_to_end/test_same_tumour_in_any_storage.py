"""The same scene stored in other ways gives the same tumour in RAS, through the shipped model and its worker."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.cli.segment_files import model_or_default
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume, to_sitk
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.results import Options
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.segmentation.wait import wait_for_lesion
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.scene.nodes import to_vtk_matrix
from CRLMSegmentationLib.slicer.scene.volumes import show_volume, volume_from_node
from scipy.spatial.transform import Rotation

CROP_SIZE_MM = 60.0
"""One tile of the network's, around a tumour of 32 mm."""
STORAGES = list(itertools.product(itertools.permutations(range(3)), itertools.product([False, True], repeat=3)))


@pytest.fixture(scope="module")
def session():
    """A session with the shipped model; CRLM_TEST_MODEL names another folder to test instead."""
    folder = os.environ.get("CRLM_TEST_MODEL")
    model = model_or_default(Path(folder) if folder else None)
    with Session(WorkerEngine(model), model) as session:
        yield session


@pytest.fixture(scope="module")
def case():
    return load_case(resource_path("SampleCases", "phantom-hypoechoic"))


@pytest.fixture(scope="module")
def volume(case):
    """As it comes over the link: without the mask of insonified voxels."""
    volume = case.volume()
    return Volume(volume.array, volume.ijk_to_ras, volume.device, volume.timestamp_s)


@pytest.fixture(scope="module")
def expected(session, volume, case):
    mask = segment(session, volume, case.lesions[0].seed_ras_mm)
    truth = case.truth_labels().array == case.lesions[0].label
    assert dice(mask, truth) > 0.5, "nothing would be shown by agreement on a bad mask"
    return Volume(mask.astype(np.uint8), volume.ijk_to_ras)


def segment(session, volume, seed_ras_mm):
    session.use_volume(volume)
    session.segment("Tumour", seed_ras_mm, Options(CROP_SIZE_MM))
    return wait_for_lesion(session, "Tumour").mask.mask


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def in_ras_of(mask, ijk_to_ras, reference: Volume):
    """A mask brought to the grid of another volume by its place in space alone."""
    image = to_sitk(mask.astype(np.float32), ijk_to_ras)
    grid = to_sitk(reference.array, reference.ijk_to_ras)
    return sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear)) >= 0.5


def stored_otherwise(volume, order, flips):
    """The same voxels, axes (K, J, I) permuted and flipped, the matrix accordingly; may be left-handed."""
    array = np.flip(volume.array.transpose(order), [axis for axis in range(3) if flips[axis]])
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1
    for new, old in enumerate(order):
        to_old[2 - old, 2 - new] = -1 if flips[new] else 1
        to_old[2 - old, 3] = array.shape[new] - 1 if flips[new] else 0
    return Volume(np.ascontiguousarray(array), volume.ijk_to_ras @ to_old)


def resampled(volume, rotation_deg, spacing_mm):
    """The same tissue on an oblique, anisotropic grid; empty voxels stay empty and do not bleed into tissue."""
    frame = np.eye(4)
    frame[:3, :3] = Rotation.from_euler("xyz", rotation_deg, degrees=True).as_matrix() * spacing_mm
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in volume.shape_ijk])))
    reach = transform_points(np.linalg.inv(frame) @ volume.ijk_to_ras, corners)
    frame[:3, 3] = frame[:3, :3] @ reach.min(0)
    grid = to_sitk(np.zeros(np.ceil(np.ptp(reach, axis=0)).astype(int)[::-1] + 1, np.uint8), frame)

    def brought(array):
        image = to_sitk(array.astype(np.float32), volume.ijk_to_ras)
        return sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear))

    values, weight = brought(volume.array * volume.insonified), brought(volume.insonified)
    array = np.where(weight > 0.25, values / np.maximum(weight, 0.25), 0)
    return Volume(np.round(array).astype(np.uint8), frame, volume.device)


@pytest.mark.parametrize(("order", "flips"), STORAGES[5::11])
def test_permuted_and_flipped(session, volume, case, expected, order, flips):
    other = stored_otherwise(volume, order, flips)
    mask = segment(session, other, case.lesions[0].seed_ras_mm)
    assert dice(in_ras_of(mask, other.ijk_to_ras, volume), expected.array > 0) >= 0.99


@pytest.mark.parametrize(
    ("rotation_deg", "spacing_mm"), [((20, -35, 50), (0.8, 0.8, 0.8)), ((-40, 10, 120), (0.6, 0.8, 1.1))]
)
def test_oblique_and_anisotropic(session, volume, case, expected, rotation_deg, spacing_mm):
    other = resampled(case.volume(), rotation_deg, spacing_mm)
    mask = segment(session, other, case.lesions[0].seed_ras_mm)
    assert dice(in_ras_of(mask, other.ijk_to_ras, volume), expected.array > 0) >= 0.95


def test_under_a_parent_transform(session, volume, case, expected):
    """The node holds the volume somewhere else; its parent transform brings it to its place."""
    place = np.eye(4)
    place[:3, :3] = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix()
    place[:3, 3] = [30, -20, 10]
    scene = new_scene()
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    parent.SetMatrixTransformToParent(to_vtk_matrix(place))
    moved = Volume(volume.array, np.linalg.inv(place) @ volume.ijk_to_ras, volume.device)
    taken = volume_from_node(show_volume(scene, moved, "volume", parent))
    mask = segment(session, taken, case.lesions[0].seed_ras_mm)
    assert dice(in_ras_of(mask, taken.ijk_to_ras, volume), expected.array > 0) >= 0.99
