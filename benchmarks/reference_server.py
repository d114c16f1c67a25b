"""The reference's serving code path: FastAPI in front of sktime. `python -m benchmarks.reference_server FOLDER PORT`.

As published: pipelines are loaded when the application starts, a request is answered inside the event loop by `predict`
and `predict_interval`, and the table goes out as pandas writes JSON. It serves a folder of models by series, so that it
can be asked the same questions as ours.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response

from benchmarks.reference import Model, load


def create_app(folder: Path) -> FastAPI:
    """The application that answers from the models in the folders of a folder, one per series."""
    models: dict[str, Model] = {}
    folders = sorted(folder.iterdir())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        models.update({one.name: load(one) for one in folders})
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/ping")
    async def ping() -> dict[str, str]:
        return {"message": "ok"}

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        body = await request.json()
        try:
            model, periods, conf = models[body["series"]], int(body["periods"]), float(body["conf"])
        except (KeyError, ValueError) as error:
            raise HTTPException(status_code=400, detail=str(error)) from error
        table = model.predict(periods, conf)
        table = table.rename(columns={"lower": f"lower_pi_{conf}", "upper": f"upper_pi_{conf}"})
        return Response(table.to_json(), media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="info")
