"""How the embedded model ``sketch`` is made: scenes, captions, training stages, judge and export.

Nothing in the server imports this package; it imports nothing from the server.
"""
