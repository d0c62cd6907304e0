"""The API of OpenGPU Relay, ``/v2``: its image endpoints, tasks, models, prices and credits."""
