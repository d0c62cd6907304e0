"""Cut-outs: a picture's subject without its background.

Owns the models that tell one from the other and the edge between them; knows no asyncio and no catalogue.
"""

from limner.engine.cutting.cutting import Cutting, along

__all__ = ["Cutting", "along"]
