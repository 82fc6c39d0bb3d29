"""`sencap serve`: a page and an HTTP interface on the predictor (the extra ``serve``).

settings  all that a server is told, and what is wrong with it
problems  errors as problem+json, with their statuses
gate      what every request passes: token, limits of bytes, time and number, headers
uploads   files that were sent: never under a name on the disk
batching  requests of about the same time, captioned together
service   the weights, and what is done with uploads
jobs      work that takes longer than a request may
answers   what comes back, typed: the OpenAPI document is made of it
routes    the interface          page     the page
metrics   for Prometheus         app      all of it put together, and run
"""

from sencap.serving.settings import ServerSettings

__all__ = ["ServerSettings"]
