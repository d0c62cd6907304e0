"""limner measured against the bare diffusers pipeline and against a plain server around it.

``python -m benchmarks --list`` names the benchmarks; docs/benchmarks.md says what they claim and what came out.
"""
