"""Writes deploy/grafana/limner.json, the dashboard that Grafana loads. Run by ``make docs``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

FILE = Path(__file__).resolve().parent.parent / "deploy" / "grafana" / "limner.json"
SCHEMA_VERSION = 41
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
MINE = 'instance=~"$instance"'
EVERY = "$__rate_interval"
Query: TypeAlias = tuple[str, str]  # PromQL and legend


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of the dashboard, ``width`` of COLUMNS wide."""

    title: str
    what: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 7


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Increase a second of a counter, summed by labels."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{MINE}{where}}}[{EVERY}]))"


def lines(metric: str, by: str) -> tuple[Query, ...]:
    """A counter's rate, a line a label value."""
    return ((rate(metric, by), "{{" + by + "}}"),)


def quantiles(metric: str, by: str = "") -> tuple[Query, ...]:
    """A histogram's median and 95th percentile, for each value of a label."""
    legend = "{{" + by + "}} " if by else ""
    grouping = f"le, {by}" if by else "le"
    return tuple(
        (f"histogram_quantile({share}, {rate(f'{metric}_bucket', grouping)})", f"{legend}p{share * 100:g}")
        for share in (0.5, 0.95)
    )


def gauge(metric: str, by: str) -> tuple[Query, ...]:
    """A gauge summed over processes, a line a label value."""
    return ((f"sum by ({by}) ({metric}{{{MINE}}})", "{{" + by + "}}"),)


def database_gauge(metric: str) -> str:
    """A gauge of the whole database, which every process tells: not to be added up over them."""
    return f"max by (model) ({metric}{{{MINE}}})"


def top(metric: str) -> tuple[Query, ...]:
    """The ten keys with the largest rate."""
    return ((f"topk(10, {rate(metric, 'key')})", "{{key}}"),)


def stat(title: str, what: str, query: Query, width: int, unit: str = "short") -> Panel:
    """A number, large."""
    return Panel(title, what, (query,), unit, "stat", width, height=4)


FAILED = rate("limner_jobs_ended_total", where=',status="failed"')
HITS, MISSES = rate("limner_cache_hits_total", "cache"), rate("limner_cache_misses_total", "cache")
MEAN_BATCH = f"{rate('limner_batch_size_sum')} / {rate('limner_batch_size_count')}"

SECTIONS: Mapping[str, Sequence[Panel]] = {
    "Now": (
        stat("Models ready", "Processes that can use a model.", gauge("limner_model_ready", "model")[0], 6),
        stat("Queued", "Jobs that wait.", (f"sum({database_gauge('limner_queue_depth')})", "queued"), 3),
        stat("Running", "Jobs being drawn.", (f"sum({database_gauge('limner_jobs_running')})", "running"), 3),
        stat("Pictures a minute", "Pictures drawn.", (f"60 * {rate('limner_images_total')}", "pictures"), 4),
        stat(
            "Failed jobs",
            "Share of the jobs that ended.",
            (f"({FAILED} or vector(0)) / {rate('limner_jobs_ended_total')}", "failed"),
            4,
            "percentunit",
        ),
        stat("Processes", "By version.", (f"count by (version) (limner_build_info{{{MINE}}})", "{{version}}"), 4),
    ),
    "Jobs": (
        Panel("Accepted", "Jobs accepted a second.", lines("limner_jobs_accepted_total", "model")),
        Panel("Ended", "Jobs ended a second.", lines("limner_jobs_ended_total", "status")),
        Panel("Failures", "Jobs that did not finish, by error code.", lines("limner_failures_total", "reason")),
        Panel(
            "Queue", "Jobs that wait, in the whole database.", ((database_gauge("limner_queue_depth"), "{{model}}"),)
        ),
        Panel("Wait", "From acceptance to the first work.", quantiles("limner_queue_wait_seconds", "model"), "s"),
        Panel("Work", "From the first work to the end.", quantiles("limner_job_seconds", "model"), "s"),
        Panel("Refused", "Requests refused at the door, by error code.", lines("limner_jobs_refused_total", "reason")),
        Panel("Pictures", "Pictures drawn a second.", lines("limner_images_total", "model")),
        Panel(
            "Taken over",
            "Jobs whose process died: queued again, or given up.",
            lines("limner_jobs_taken_over_total", "outcome"),
        ),
    ),
    "Engine": (
        Panel("Stages", "Device time of one job's stage.", quantiles("limner_stage_seconds", "stage"), "s"),
        Panel(
            "Device",
            "Share of time in forwards; a CPU with several lanes can pass 100 %.",
            lines("limner_forward_seconds_total", "stage"),
            "percentunit",
        ),
        Panel("Device time", "Of ended jobs, by model.", lines("limner_device_seconds_total", "model"), "percentunit"),
        Panel("Batch", "Calls in a denoising forward.", ((MEAN_BATCH, "mean"), *quantiles("limner_batch_size"))),
        Panel("Forwards", "Forwards a second.", lines("limner_forwards_total", "stage")),
        Panel("Samples", "Pictures being drawn or waiting in the engine.", gauge("limner_samples", "state")),
        Panel("Cache hits", "Share of answers.", ((f"{HITS} / ({HITS} + {MISSES})", "{{cache}}"),), "percentunit"),
        Panel("Device memory", "A CPU tells nothing.", gauge("limner_device_memory_bytes", "kind"), "bytes"),
        Panel("Weights", "Of loaded models.", gauge("limner_model_parameter_bytes", "model"), "bytes", width=4),
        Panel("No room", "Forwards a second.", ((rate("limner_out_of_memory_total"), "out of memory"),), width=4),
    ),
    "API keys": (
        Panel("Pictures", "Drawn a second, the ten largest.", top("limner_key_images_total"), width=6),
        Panel("Jobs", "Ended a second, the ten largest.", top("limner_key_jobs_total"), width=6),
        Panel("Device time", "The ten largest.", top("limner_key_device_seconds_total"), "percentunit", width=6),
        Panel("Credits", "Charged a second, the ten largest.", top("limner_key_credits_total"), width=6),
    ),
    "HTTP": (
        Panel("Requests", "A second, by status.", lines("limner_http_requests_total", "status"), "reqps"),
        Panel("Time", "From the first byte to the last.", quantiles("limner_http_request_seconds", "route"), "s"),
        Panel("In flight", "Not yet answered.", gauge("limner_http_requests_in_flight", "instance")),
    ),
    "Storage and webhooks": (
        Panel("Pictures moved", "Bytes a second.", lines("limner_blob_bytes_total", "operation"), "Bps", width=6),
        Panel("Storage failures", "A second.", lines("limner_blob_errors_total", "operation"), width=6),
        Panel("Webhooks", "Attempts a second.", lines("limner_webhook_deliveries_total", "outcome"), width=6),
        Panel("Figures missed", "A second.", lines("limner_scrape_errors_total", "source"), width=6),
    ),
    "Processes": (
        Panel("Memory", "Resident.", gauge("process_resident_memory_bytes", "instance"), "bytes"),
        Panel("Processor", "Of one core.", lines("process_cpu_seconds_total", "instance"), "percentunit"),
        Panel("Open files", "Descriptors.", gauge("process_open_fds", "instance")),
    ),
}


def render() -> str:
    """The whole file."""
    return json.dumps(dashboard(), indent=1) + "\n"


def dashboard() -> dict[str, Any]:
    """What Grafana imports: it asks for a data source, and shows all instances."""
    return {
        "title": "limner",
        "uid": "limner",
        "description": "Jobs, models, devices, keys and requests of limner servers.",
        "tags": ["limner"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_data_source(), _instance()]},
        "annotations": {"list": []},
        "links": [],
        "panels": list(_laid_out()),
    }


def _data_source() -> dict[str, Any]:
    return {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}


def _instance() -> dict[str, Any]:
    query = "label_values(limner_build_info, instance)"
    return {
        "type": "query",
        "name": "instance",
        "label": "Instance",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "instances"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _laid_out() -> Iterator[dict[str, Any]]:
    """Rows and panels with their places: left to right, wrapped at COLUMNS."""
    number, y = 0, 0
    for section, panels in SECTIONS.items():
        number, x = number + 1, 0
        yield {
            "id": number,
            "type": "row",
            "title": section,
            "collapsed": False,
            "panels": [],
            "gridPos": _at(0, y, 24, 1),
        }
        y += 1
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + panel.height
            number += 1
            yield _panel(panel, number, _at(x, y, panel.width, panel.height))
            x += panel.width
        y += panels[-1].height


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expression, "legendFormat": legend, "range": True}
        for i, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.what,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": _options(panel.kind),
    }


def _options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "textMode": "auto"}
    return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi"}}


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(render(), encoding="utf-8")
