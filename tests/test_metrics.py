"""What is counted, under which names, as Prometheus reads it."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from limner import __version__
from limner.engine import EngineStats
from limner.engine.stats import Uses
from limner.errors import NotReady
from limner.metrics import ANONYMOUS, OTHER, EndedJob, Metrics

FINISHED = EndedJob(
    model="sketch",
    operation="generate",
    owner="key_1",
    status="finished",
    error_code=None,
    wall_s=2.5,
    device_s=1.25,
    cost_micro=1_250_000,
    images=2,
    stages_s={"encode": 0.25, "denoise": 1.0},
)
FAILED = EndedJob("sketch", "edit", "key_1", "failed", "timeout", wall_s=180.0, device_s=0.0)
STATS = EngineStats(
    device="cuda:0",
    forwards={"encode": 3, "denoise": 7},
    forward_s={"encode": 0.3, "denoise": 7.5},
    batches={1: 4, 2: 2, 8: 1},
    out_of_memory=1,
    active_samples=5,
    waiting_samples=2,
    cache_uses={("sketch", "prompt"): Uses(9, 1), ("sketch", "lora"): Uses()},
    parameter_bytes={"sketch": 20_000_000},
    device_bytes={"allocated": 1, "reserved": 2, "free": 3, "total": 5},
)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """What a scrape reads: name and label values (in the order of their names) -> value."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def busy() -> Metrics:
    """Metrics in which everything has happened."""
    metrics = Metrics()
    metrics.job_accepted("sketch", "generate")
    metrics.job_refused("queue_full")
    metrics.job_started("sketch", 0.3)
    metrics.job_ended(FINISHED)
    metrics.job_ended(FAILED)
    metrics.jobs_taken_over(requeued=2, given_up=1)
    metrics.request_began()
    metrics.request_ended("/v1/models", "GET", 200, 0.004)
    metrics.blob_moved("put", 1000)
    metrics.blob_failed("get")
    metrics.webhook("delivered")
    metrics.watch_engine(lambda: STATS)
    metrics.watch_models(lambda: {"sketch": True, "big": False})
    metrics.watch_queue(queue_of({"sketch": (4, 2)}))
    asyncio.run(metrics.refresh())
    return metrics


def queue_of(depths: Mapping[str, tuple[int, int]]) -> Any:
    async def source() -> Mapping[str, tuple[int, int]]:
        return depths

    return source


def test_jobs() -> None:
    found = samples(busy())
    assert found["limner_jobs_accepted_total", "sketch", "generate"] == 1
    assert found["limner_jobs_refused_total", "queue_full"] == 1
    assert found["limner_jobs_ended_total", "sketch", "generate", "finished"] == 1
    assert found["limner_jobs_ended_total", "sketch", "edit", "failed"] == 1
    assert found["limner_failures_total", "timeout"] == 1
    assert found["limner_images_total", "sketch", "generate"] == 2
    assert found["limner_device_seconds_total", "sketch"] == 1.25
    assert found["limner_jobs_taken_over_total", "requeued"] == 2
    assert found["limner_jobs_taken_over_total", "given_up"] == 1


def test_waiting_work_and_stages_are_histograms() -> None:
    found = samples(busy())
    assert found["limner_queue_wait_seconds_bucket", "0.25", "sketch"] == 0
    assert found["limner_queue_wait_seconds_bucket", "0.5", "sketch"] == 1
    assert found["limner_job_seconds_sum", "sketch", "generate"] == 2.5
    assert found["limner_stage_seconds_count", "denoise"] == 1
    assert found["limner_stage_seconds_sum", "encode"] == 0.25


def test_clocks_that_disagree_make_no_negative_wait() -> None:
    metrics = Metrics()
    metrics.job_started("sketch", -0.2)
    assert samples(metrics)["limner_queue_wait_seconds_sum", "sketch"] == 0


def test_keys() -> None:
    found = samples(busy())
    assert found["limner_key_jobs_total", "key_1"] == 2
    assert found["limner_key_images_total", "key_1"] == 2
    assert found["limner_key_device_seconds_total", "key_1"] == 1.25
    assert found["limner_key_credits_total", "key_1"] == 1.25


def test_a_server_without_keys_counts_one_anonymous() -> None:
    metrics = Metrics()
    metrics.job_ended(EndedJob("sketch", "generate", "", "finished", None, 1.0, 1.0))
    assert samples(metrics)["limner_key_jobs_total", ANONYMOUS] == 1


def test_keys_beyond_the_limit_share_a_series() -> None:
    metrics = Metrics(max_keys=3)
    for number in (*range(10), *range(10)):
        metrics.job_ended(EndedJob("sketch", "generate", f"key_{number}", "finished", None, 1.0, 1.0, images=1))
    keys = {key[1]: value for key, value in samples(metrics).items() if key[0] == "limner_key_images_total"}
    assert keys == {"key_0": 2, "key_1": 2, "key_2": 2, OTHER: 14}


def test_what_is_known_to_happen_starts_at_zero() -> None:
    """A counter that appears with its first event shows no increase."""
    found = samples(Metrics())
    assert found["limner_webhook_deliveries_total", "given_up"] == 0
    assert found["limner_blob_errors_total", "put"] == 0
    assert found["limner_jobs_taken_over_total", "requeued"] == 0


def test_http() -> None:
    metrics = Metrics()
    metrics.request_began()
    metrics.request_began()
    metrics.request_ended("/v1/models", "BREW", 200, 0.004)
    found = samples(metrics)
    assert found["limner_http_requests_in_flight",] == 1
    assert found["limner_http_requests_total", "other", "/v1/models", "200"] == 1
    assert found["limner_http_request_seconds_count", "other", "/v1/models"] == 1


def test_the_engine_is_read_at_every_scrape() -> None:
    found = samples(busy())
    assert [found["limner_batch_size_bucket", le] for le in ("1.0", "2.0", "4.0", "8.0", "+Inf")] == [4, 6, 6, 7, 7]
    assert (found["limner_batch_size_count",], found["limner_batch_size_sum",]) == (7, 16)
    assert found["limner_forward_seconds_total", "denoise"] == 7.5
    assert found["limner_out_of_memory_total",] == 1
    assert (found["limner_samples", "active"], found["limner_samples", "waiting"]) == (5, 2)
    assert (
        found["limner_cache_hits_total", "prompt", "sketch"],
        found["limner_cache_misses_total", "prompt", "sketch"],
    ) == (9, 1)
    assert found["limner_model_parameter_bytes", "sketch"] == 20_000_000
    assert found["limner_device_memory_bytes", "cuda:0", "free"] == 3


@pytest.mark.parametrize("is_broken", [False, True])
def test_an_engine_that_does_not_answer_takes_no_other_figure_with_it(
    is_broken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def source() -> EngineStats | None:
        if is_broken:
            raise RuntimeError("CUDA error: device lost")
        return None

    metrics = Metrics()
    metrics.watch_engine(source)
    metrics.job_accepted("sketch", "generate")
    found = samples(metrics)
    assert found["limner_jobs_accepted_total", "sketch", "generate"] == 1
    assert not [key for key in found if key[0].startswith("limner_batch_size")]
    assert ("device lost" in caplog.text) == is_broken


async def test_a_queue_that_does_not_answer_leaves_no_old_depth(caplog: pytest.LogCaptureFixture) -> None:
    async def away() -> Mapping[str, tuple[int, int]]:
        raise NotReady("the database does not answer")

    metrics = Metrics()
    metrics.watch_queue(queue_of({"sketch": (4, 2)}))
    await metrics.refresh()
    metrics.watch_queue(away)
    await metrics.refresh()
    found = samples(metrics)
    assert ("limner_queue_depth", "sketch") not in found
    assert found["limner_scrape_errors_total", "queue"] == 1
    assert "does not answer" in caplog.text


async def test_a_queue_that_hangs_does_not_hold_up_the_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> Mapping[str, tuple[int, int]]:
        await asyncio.sleep(60)
        return {}

    monkeypatch.setattr("limner.metrics.metrics.QUEUE_DEADLINE_S", 0.05)
    metrics = Metrics()
    metrics.watch_queue(hang)
    metrics.watch_models(lambda: {"sketch": True})
    await metrics.refresh()
    found = samples(metrics)
    assert found["limner_scrape_errors_total", "queue"] == 1
    assert found["limner_model_ready", "sketch"] == 1


async def test_depths_follow_the_queue_and_models_without_jobs_have_zero() -> None:
    metrics = Metrics()
    metrics.watch_models(lambda: {"sketch": True, "big": False})
    metrics.watch_queue(queue_of({"sketch": (4, 2), "removed": (1, 0)}))
    await metrics.refresh()
    metrics.watch_queue(queue_of({"sketch": (0, 3)}))
    await metrics.refresh()
    found = samples(metrics)
    depths = {key[1]: value for key, value in found.items() if key[0] == "limner_queue_depth"}
    assert depths == {"sketch": 0, "big": 0}
    assert found["limner_jobs_running", "sketch"] == 3
    assert (found["limner_model_ready", "sketch"], found["limner_model_ready", "big"]) == (1, 0)


def test_servers_in_one_process_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.job_accepted("sketch", "generate")
    assert ("limner_jobs_accepted_total", "sketch", "generate") not in samples(other)


def test_the_build_and_the_process_are_told() -> None:
    found = samples(Metrics())
    assert [key[2] for key in found if key[0] == "limner_build_info"] == [__version__]
    assert found["process_resident_memory_bytes",] > 1_000_000
    assert ("python_gc_collections_total", "0") in found


def test_names_follow_the_conventions() -> None:
    families = list(text_string_to_metric_families(busy().render().decode()))
    ours = [family for family in families if family.name.startswith("limner_")]
    for family in ours:
        assert re.fullmatch(r"limner(_[a-z]+)+", family.name)
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
            assert not sample.name.endswith("_created")
    assert len(ours) == len({family.name for family in ours})
    assert all(family.samples for family in ours), "every family has a sample in a busy server"
