"""`crlm-seg` whose worker processes are `dark_worker`: for what happens around the network, not in it."""

from __future__ import annotations

from CRLMSegmentationLib.cli.main import main
from CRLMSegmentationLib.segmentation.engine import worker_engine

if __name__ == "__main__":
    worker_engine.WORKER_MODULE = "helpers.dark_worker"
    main()
