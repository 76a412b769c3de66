"""`crlm-seg` whose worker processes are `gated_worker`: a server whose computations the test holds, ends or kills."""

from __future__ import annotations

from CRLMSegmentationLib.cli.main import main
from CRLMSegmentationLib.segmentation.engine import worker_engine

if __name__ == "__main__":
    worker_engine.WORKER_MODULE = "helpers.gated_worker"
    main()
