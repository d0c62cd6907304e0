"""The waist: every dialect submits here and every backend is driven from here.

`Service` is the front: admission, finding, cancelling. Behind it a worker claims jobs from the store and draws them, a
publisher puts pictures away, and a watch follows the jobs that other processes have.
"""

from limner.service.service import Estimate, Seat, Service
from limner.service.tools import MEMORY, Tools, open_tools

__all__ = ["MEMORY", "Estimate", "Seat", "Service", "Tools", "open_tools"]
