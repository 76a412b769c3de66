"""A scene with the real logics that the application would have brought along."""

from __future__ import annotations

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
    "Volumes": "vtkSlicerVolumesLogic",
}
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
    for logic in logics.values():
        if hasattr(logic, "SetMRMLApplicationLogic"):
            logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
    return logics | dict.fromkeys(WITHOUT_LOGIC)
