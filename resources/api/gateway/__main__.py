"""`python -m resources.api.gateway HOME SAGEMAKER LOCK SOCKET`: the gateway of one folder, until it is ended.

It parts from its caller before it imports anything. It ends by itself once the endpoint it stands before is gone, or
its folder.
"""

import os
import sys


def main(home_path: str, sagemaker_path: str, lock: int, listening: int) -> None:
    """Serve.

    Args:
        home_path: The folder of the API.
        sagemaker_path: The folder of this machine's SageMaker.
        lock: Inherited descriptor of the folder's lock, held.
        listening: Inherited descriptor of the socket.
    """
    import logging
    import logging.handlers
    import socket
    import threading
    import time
    from pathlib import Path

    import uvicorn

    from containers.gateway.handler import Handler
    from containers.serving.limits import CONNECTIONS, KEEP_ALIVE_S
    from containers.serving.protocol import BoundedProtocol
    from resources.api.gateway.app import Gateway
    from resources.api.gateway.state import CONFIG, LOG
    from resources.sagemaker.local.clients import local_client
    from resources.sagemaker.local.store import ENDPOINT, Store, get_json, introduce

    home, sagemaker = Path(home_path), Path(sagemaker_path)
    for inherited in (lock, listening):
        os.set_inheritable(inherited, False)
    introduce(lock)
    lines = logging.getLogger("requests")
    lines.setLevel(logging.INFO)
    lines.propagate = False
    lines.addHandler(logging.handlers.RotatingFileHandler(home / LOG, maxBytes=1_000_000, backupCount=1))
    endpoint = get_json(home / CONFIG)["endpoint"]
    gateway = Gateway(home, Handler(local_client("sagemaker-runtime", sagemaker), endpoint, log=lines.info))
    server = uvicorn.Server(
        uvicorn.Config(
            gateway,
            http=BoundedProtocol,
            lifespan="off",
            ws="none",
            log_config=None,  # warnings and errors reach stderr without it
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
        )
    )

    def watch() -> None:
        while Store(sagemaker).folder(ENDPOINT, endpoint).is_dir() and (home / CONFIG).exists():
            time.sleep(1)
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[socket.socket(fileno=listening)])
    gateway.close()


if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
