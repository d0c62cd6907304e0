"""What every test may use."""

import os
import signal

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for a hub is a defect
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_configure() -> None:
    """A shell's background jobs ignore Ctrl-C, and so would everything that is started here to be interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
