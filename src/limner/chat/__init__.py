"""What a conversation about pictures asks for: turns, the choice of an operation, and agents that chain several.

Knows no wire, no model and no device; whoever answers a conversation reads it into these values first.
"""

from limner.chat.conversation import Conversation, Role, Shown, Turn, without_repeats

__all__ = ["Conversation", "Role", "Shown", "Turn", "without_repeats"]
