"""Enlarging pictures: by a model in tiles, or by resampling alone.

Owns models, tiles and passes; knows no asyncio and no catalogue.
"""

from limner.engine.enlarging.enlarging import Enlarging

__all__ = ["Enlarging"]
