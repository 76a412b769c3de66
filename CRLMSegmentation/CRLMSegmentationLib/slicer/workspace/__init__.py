"""A session shown in a scene, as a surgeon sees it, without Qt, threads or observers."""
