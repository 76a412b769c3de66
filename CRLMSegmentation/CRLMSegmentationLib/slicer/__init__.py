"""All that knows MRML: scene, workspace, views and panel of the 3D Slicer module."""
