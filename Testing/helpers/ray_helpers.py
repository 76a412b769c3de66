"""A Ray cluster of several nodes on this machine, without usage statistics and without a dashboard."""

from __future__ import annotations

import os
import socket
from typing import Any
from unittest import mock

from .paths import TESTING

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before Ray is imported anywhere in this process

NODE_MEMORY = 12 * 10**9
"""What a node says that it has, in bytes; enough for the task of any step."""
OBJECT_STORE = 80 * 10**6
"""Ray's least, in bytes."""


class LocalRay:
    """A head without cores, a client server, and nodes with one core each."""

    def __init__(self, nodes: int = 2) -> None:
        from ray.cluster_utils import Cluster

        self.port = free_port()
        head: dict[str, Any] = {"num_cpus": 0, "ray_client_server_port": self.port, "include_dashboard": False}
        head.update(memory=10**9, object_store_memory=OBJECT_STORE)
        with self._environment():
            self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.add_node() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return f"ray://127.0.0.1:{self.port}"

    def add_node(self) -> Any:
        with self._environment():
            return self._cluster.add_node(num_cpus=1, memory=NODE_MEMORY, object_store_memory=OBJECT_STORE)

    @staticmethod
    def _environment() -> Any:
        """Let the nodes import the functions of tests."""
        return mock.patch.dict(os.environ, {"PYTHONPATH": str(TESTING)})

    def kill_node(self, node: Any) -> None:
        """Kill a node with all that runs on it, as a power cut does."""
        self._cluster.remove_node(node, allow_graceful=False)
        if node in self.nodes:
            self.nodes.remove(node)

    def close(self) -> None:
        self._cluster.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
