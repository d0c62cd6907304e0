"""What a conversation about pictures asks for: turns, the choice of an operation, and agents that chain several.

Knows no wire, no model and no device; whoever answers a conversation reads it into these values first.
"""

from limner.chat.conversation import Conversation, Role, Shown, Turn, without_repeats
from limner.chat.decision import Abilities, Decision
from limner.chat.routing import decide

__all__ = ["Abilities", "Conversation", "Decision", "Role", "Shown", "Turn", "decide", "without_repeats"]
