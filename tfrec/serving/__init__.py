"""Serving a SavedModel over TensorFlow Serving's protocol: an embedded server, and the clients.

The SavedModel is the only interface: nothing here imports another part of tfrec, so what this package serves, the
official server serves too. Submodules are imported by name, because each of them needs TensorFlow:

    from tfrec.serving.client import Client
    from tfrec.serving.async_client import AsyncClient
    from tfrec.serving.server import Server
"""
