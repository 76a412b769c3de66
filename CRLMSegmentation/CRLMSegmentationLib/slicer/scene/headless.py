"""A scene outside 3D Slicer, with the logics that the application would have brought along."""

from __future__ import annotations

import slicer


def new_scene() -> slicer.vtkMRMLScene:
    """An empty MRML scene that can convert segmentations, place markups and save bundles.

    Inside 3D Slicer use its own scene instead: a second set of logics would do everything twice.
    """
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkMRMLApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    modules = [
        slicer.vtkSlicerVolumesLogic(),
        slicer.vtkSlicerSegmentationsModuleLogic(),
        slicer.vtkSlicerMarkupsLogic(),
        slicer.vtkSlicerTransformLogic(),
    ]
    for logic in modules:
        logic.SetMRMLScene(scene)
    scene.logics = [application, *modules]  # they must live as long as the scene
    return scene
