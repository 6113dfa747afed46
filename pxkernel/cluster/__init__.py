"""Cluster: start, find and stop a controller with its engines."""

from .cluster import Cluster

__all__ = ["Cluster"]
