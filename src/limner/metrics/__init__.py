"""Figures for Prometheus: what this process did and holds, under names that dashboards and alerts rely on."""

from limner.metrics.engine import EngineFigures
from limner.metrics.metrics import ANONYMOUS, CONTENT_TYPE, EndedJob, Metrics
from limner.metrics.registry import OTHER

__all__ = ["ANONYMOUS", "CONTENT_TYPE", "OTHER", "EndedJob", "EngineFigures", "Metrics"]
