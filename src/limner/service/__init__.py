"""The waist: every dialect submits here and every backend is driven from here.

`Service` is the front: finding, cancelling, coming and going. Behind it admission takes requests in, a worker claims
jobs from the store and draws them, a publisher puts pictures away, a watch follows the jobs that other processes have,
and upkeep removes what is past its time.
"""

from limner.service.admission import Estimate, Seat
from limner.service.service import Service
from limner.service.tools import MEMORY, Tools, open_tools

__all__ = ["MEMORY", "Estimate", "Seat", "Service", "Tools", "open_tools"]
