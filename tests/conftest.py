"""What every test may use."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for a hub is a defect
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
