"""`crlm-seg` with Ctrl-C pressed while a text is run by `exec`, as `dataclass` does at the import of a module."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

from CRLMSegmentationLib.cli.main import main


class Interrupted(MetaPathFinder):
    """Presses Ctrl-C at the import of the commands."""

    def find_spec(self, name, path, target=None):
        if name == "CRLMSegmentationLib.cli.commands":
            exec("raise KeyboardInterrupt")


if __name__ == "__main__":
    sys.meta_path.insert(0, Interrupted())
    main()
