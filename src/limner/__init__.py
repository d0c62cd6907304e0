"""limner: a self-hosted image server. One server, one contract, every image model."""

__version__ = "0.1.0"
