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
    _keep_one_conversion_rule_of_each_kind()
    return scene


def _keep_one_conversion_rule_of_each_kind() -> None:
    """Undo what the logic of segmentations does with each scene: it registers the same rules for the process again.

    Copying a segmentation searches all chains of rules; after 450 scenes it took 5 s.
    """
    factory, kinds = slicer.vtkSegmentationConverterFactory.GetInstance(), set()
    for rule in factory.GetConverterRules():
        if rule.GetClassName() in kinds:
            factory.UnregisterConverterRule(rule)
        kinds.add(rule.GetClassName())
