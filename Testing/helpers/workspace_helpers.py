"""What the tests of workspaces share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.slicer.scene.masks import mask_in_volume
from CRLMSegmentationLib.slicer.scene.nodes import local_to_world
from slicer import vtkOrientedImageData, vtkSlicerSegmentationsModuleLogic
from vtk.util.numpy_support import vtk_to_numpy

SEED = (20.0, 20.0, 20.0)


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class StubLink:
    def __init__(self):
        self.state, self.state_reason, self.receiving = LinkState.CONNECTED, "", None
        self.inbox, self.closed = [], False

    def poll(self, budget_s=0.004):
        messages, self.inbox = self.inbox, []
        return messages

    def close(self):
        self.closed = True


def answer(workspace, engine, lesions=None):
    workspace.segment(lesions)
    for _ in range(1 if lesions is None else len(lesions)):
        workspace.tick()
        engine.finish()
        workspace.tick()


def paint(workspace, lesion, box):
    """What the Segment Editor does with a brush: fill a box (K, J, I) of the current volume."""
    node = workspace.lesion_store.segmentation_node
    volume = workspace.session.volume
    grid_to_local = np.linalg.inv(local_to_world(node)) @ volume.ijk_to_ras
    mask = mask_in_volume(node, lesion, replace(volume, ijk_to_ras=grid_to_local))
    mask[box] = True
    image = vtkOrientedImageData()
    image.SetDimensions(mask.shape[::-1])
    image.AllocateScalars(3, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask.ravel()
    logic = vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(image, node, lesion, logic.MODE_REPLACE, image.GetExtent())
