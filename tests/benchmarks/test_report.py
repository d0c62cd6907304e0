"""Reports as text and as JSON."""

import orjson

from benchmarks.report import Report, as_json
from benchmarks.spread import spread


def test_a_missed_target_stands_out() -> None:
    report = Report("solo")
    report.claim("ratio", target="at most 1.08", measured="1.20", met=False)
    assert "| ratio | at most 1.08 | 1.20     | NO  |" in report.text()


def test_the_numbers_survive_as_json() -> None:
    report = Report("solo", numbers={"ratio": spread([1.0, 2.0, 3.0])})
    written = orjson.loads(orjson.dumps(as_json([report])))
    assert written["benchmarks"][0]["numbers"]["ratio"]["median"] == 2.0
    assert "cpu" in written["machine"]


def test_a_claim_is_missed_where_requests_have_failed() -> None:
    report = Report("throughput")
    report.claim("ratio", target="at least 2.0", measured="9.00", met=True, failed=3)
    (claim,) = report.claims
    assert (claim.met, claim.measured) == (False, "9.00, 3 failed")
