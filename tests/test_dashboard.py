"""The dashboard and docs/operations.md show what is counted: nothing that does not exist, and everything that does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from limner.api import health
from limner.doctor import CHECKS
from scripts.dashboard import COLUMNS, FILE, dashboard, render
from tests.test_metrics import busy

OPERATIONS = (Path(__file__).parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")
PANELS: list[dict[str, Any]] = dashboard()["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
NAME = re.compile(r"\b((?:limner|process|python)_[a-z_]+)\b")
SUFFIXES = ("_bucket", "_sum", "_count")


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Every sample's name in a busy server, with its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(busy().render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_the_file_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), "run: make docs"


def test_every_metric_that_is_shown_exists(known: dict[str, set[str]]) -> None:
    shown = {name for query in QUERIES for name in NAME.findall(query)}
    assert shown - known.keys() == set()


def test_every_label_that_is_grouped_by_exists(known: dict[str, set[str]]) -> None:
    for query in QUERIES:
        for labels, metric in re.findall(r"by \(([^)]*)\) \((?:rate\()?(\w+)\{", query):
            asked = {label.strip() for label in labels.split(",")} - {"instance"}  # which Prometheus adds
            assert asked <= known[metric], query


def test_every_metric_of_ours_is_shown(known: dict[str, set[str]]) -> None:
    ours = {name for name in known if name.startswith("limner_")}
    families = {next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name) for name in ours}
    text = " ".join(QUERIES)
    assert {name for name in families if name not in text} == set()


def test_every_query_keeps_to_the_chosen_instances() -> None:
    for query in QUERIES:
        assert len(NAME.findall(query)) == query.count('instance=~"$instance"'), query


def test_the_whole_databases_gauges_are_not_added_up_over_processes() -> None:
    for query in QUERIES:
        if "limner_queue_depth" in query or "limner_jobs_running" in query:
            assert "max by (model)" in query


def test_panels_lie_side_by_side_and_have_numbers_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < COLUMNS
        assert not taken & cells, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_whoever_imports_it_chooses_the_data_source() -> None:
    document = json.loads(FILE.read_text(encoding="utf-8"))
    kinds = {variable["name"]: variable["type"] for variable in document["templating"]["list"]}
    assert kinds == {"datasource": "datasource", "instance": "query"}
    sources = {panel["datasource"]["uid"] for panel in document["panels"] if panel["type"] != "row"}
    assert sources == {"${datasource}"}


def test_the_example_for_prometheus_names_our_path() -> None:
    example = (Path(__file__).parent.parent / "deploy" / "prometheus.yml").read_text(encoding="utf-8")
    assert "metrics_path: /metrics" in example


def test_every_metric_is_documented_as_it_is() -> None:
    families = list(text_string_to_metric_families(busy().render().decode()))
    rows = [_row(family) for family in families if family.name.startswith("limner_")]
    table = [line for line in OPERATIONS.splitlines() if line.startswith("| `limner_")]
    assert table == rows


def _row(family: Metric) -> str:
    """The metric's line of the table: name and labels, type, and what it says."""
    labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return f"| `{name}{{{', '.join(labels)}}}` | {family.type} | {family.documentation} |".replace("{}", "")


def test_every_check_of_the_doctor_is_documented() -> None:
    rows = [line.split("`")[1] for line in OPERATIONS.partition("## Extras")[0].splitlines() if line.startswith("| `")]
    assert rows == list(CHECKS)


def test_every_health_route_is_documented() -> None:
    paths = [
        route.path for route in health.router.routes if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    ]
    assert [path for path in paths if f"`GET {path}`" not in OPERATIONS] == []
