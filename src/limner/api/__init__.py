"""The HTTP side: dialects translate wires into Requests and events back; nothing is decided here."""
