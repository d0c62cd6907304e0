"""Killing limner's processes while it works, and accounting for everything that it had accepted.

``python -m chaos --help`` says how; docs/jobs.md says what is promised and what came out.
"""
