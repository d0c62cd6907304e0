"""What every test may use."""

import os
import signal
from collections.abc import Generator

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for a hub is a defect
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_configure() -> None:
    """A shell's background jobs ignore Ctrl-C, and so would everything that is started here to be interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Name what failed once more, last of all: where values are printed whole, only the end of a log is read."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # in a process of several, which tells another
        return
    for report in (*reporter.stats.get("failed", ()), *reporter.stats.get("error", ())):
        took = f" ({report.when}, {report.duration:.1f} s)" if isinstance(report, pytest.TestReport) else ""
        reporter.write_line(f"not passed: {report.nodeid}{took}")
