"""The API of Stable Diffusion web UI (A1111), for the many clients that speak it: ``/sdapi/v1``.

``routes`` has the router, and makes others for APIs that mount this one below their own paths.
"""
