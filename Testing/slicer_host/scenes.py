"""A scene with the real logics that the application would have brought along."""

from __future__ import annotations

from pathlib import Path

import slicer

LOGICS = {
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Volumes": "vtkSlicerVolumesLogic",
}
SHARE = Path(__file__).parent
"""Holds presets.xml: the names of some presets for volume rendering, without which its logic crashes."""
WITHOUT_LOGIC = ("Data", "SampleData", "SegmentEditor", "Terminologies", "Welcome")


def new_scene() -> tuple[slicer.vtkMRMLScene, slicer.vtkMRMLApplicationLogic]:
    """An empty scene with colours, selection node and interaction node."""
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkMRMLApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    _add_data_manager(scene)
    return scene, application


def _add_data_manager(scene: slicer.vtkMRMLScene) -> None:
    """Reading a bundle unpacks it into the cache's folder, which SlicerHost sets."""
    manager, cache = slicer.vtkDataIOManager(), slicer.vtkCacheManager()
    cache.SetMRMLScene(scene)
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def module_logics(scene: slicer.vtkMRMLScene, application: slicer.vtkMRMLApplicationLogic) -> dict[str, object]:
    """The logics of the modules that Slicer always has, by module name."""
    logics = {name: getattr(slicer, cls)() for name, cls in LOGICS.items()}
    logics["VolumeRendering"].SetModuleShareDirectory(str(SHARE))
    for logic in logics.values():
        if hasattr(logic, "SetMRMLApplicationLogic"):
            logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
    _forget_repeated_conversion_rules()
    return logics | dict.fromkeys(WITHOUT_LOGIC)


def _forget_repeated_conversion_rules() -> None:
    """Slicer has one scene; here each test has its own, whose logic registers the rules of the process once more.

    Copying a segmentation searches all chains of rules, and becomes ever slower with their number.
    """
    factory, kinds = slicer.vtkSegmentationConverterFactory.GetInstance(), set()
    for rule in factory.GetConverterRules():
        if rule.GetClassName() in kinds:
            factory.UnregisterConverterRule(rule)
        kinds.add(rule.GetClassName())
