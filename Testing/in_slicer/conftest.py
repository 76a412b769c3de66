"""The tests of this folder need a running 3D Slicer: CTest or `Slicer --python-script` starts them, pytest does not."""

collect_ignore = ["test_module_in_slicer.py"]
