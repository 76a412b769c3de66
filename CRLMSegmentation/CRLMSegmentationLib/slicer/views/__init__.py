"""The views of 3D Slicer while navigating: layout, the view that follows the tip, distance annotation, alarm."""
