"""Words to masks: where in a picture is what the words name.

Owns the models that find things by words, one after another on one device; knows no asyncio and no catalogue.
"""

from limner.engine.grounding.grounding import Grounding

__all__ = ["Grounding"]
