"""How much and how long the endpoint lets a client take. Who asks for more is told so, by status, and let go."""

BODY_LIMIT_BYTES = 1_000_000
"""Of a request's body: 413."""
HEAD_LIMIT_BYTES = 65_536
"""Of a request's line and headers: 431."""
HEAD_S = 10.0
"""From a connection, or the first byte of another request on it, to the end of the headers: 408."""
BODY_S = 20.0
"""From the end of the headers to the end of the body: 408."""
ANSWER_S = 60.0
"""Until an answer is fetched; the connection is cut then."""
KEEP_ALIVE_S = 5
"""Between an answer and the next request on the same connection; it is closed then."""
CONNECTIONS = 512
"""At once: 503 beyond."""
BATCH = {"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 1}
"""How batch transform should ask: a request is one JSON object."""
