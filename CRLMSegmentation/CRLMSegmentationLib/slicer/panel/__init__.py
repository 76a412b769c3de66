"""What the panel of the 3D Slicer module shows and offers, without Qt."""
