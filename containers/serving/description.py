"""What the endpoint understands and answers, as an OpenAPI 3.1 document: `GET /openapi.json`.

Limits and patterns are those that `containers.serving.request` refuses by, so the two cannot drift apart. What a
schema cannot say (intervals of a series that is not calibrated, the size of an answer) is said in words. Made when
somebody asks, never at the start.
"""

from collections.abc import Mapping
from typing import Any

from containers.serving import request
from containers.serving.limits import (
    ANSWER_S,
    BATCH,
    BODY_LIMIT_BYTES,
    BODY_S,
    CONNECTIONS,
    HEAD_LIMIT_BYTES,
    HEAD_S,
)

VERSION = "1.0.0"

Schema = dict[str, Any]

_DAY = {"type": "string", "format": "date", "examples": ["2023-11-17"]}
_FIGURE = {"type": "number", "exclusiveMinimum": 0, "description": "Thousand barrels per day."}
_CSV_EXAMPLE = "date,lower_pi_0.9,predictions,upper_pi_0.9\n2023-11-17,8634.1,8903.4,9181.0\n"


def describe(series: tuple[str, ...], *, default_series: str | None, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The description of an endpoint.

    Args:
        series: The series it forecasts.
        default_series: The one the short form means when it names none.
        provenance: Of the artifact; its week is told.
    """
    needs_series = default_series is None and len(series) > 1
    week = f" The model was made from the release of {provenance['week']}." if "week" in provenance else ""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Weekly demand forecasts of U.S. petroleum products",
            "version": VERSION,
            "description": "A SageMaker endpoint: health at `/ping`, forecasts at `/invocations`. It keeps no state, "
            f"so nothing that is asked changes anything.{week} An answer to a request that cannot be read at all "
            f"closes the connection: 400 for what is not HTTP, 408 where the head takes more than {HEAD_S:g} s or the "
            f"body more than {BODY_S:g} s, 431 for a head of more than {HEAD_LIMIT_BYTES} bytes. Beyond "
            f"{CONNECTIONS} connections the answer is 503; one that is not fetched within {ANSWER_S:g} s is dropped.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this description was read."}],
        "paths": {
            "/ping": {
                "get": {
                    "operationId": "ping",
                    "summary": "Whether the endpoint serves: 200 from the moment its model is loaded.",
                    "responses": {"200": {"description": "It serves. The body is empty."}, **_errors(503)},
                },
            },
            "/invocations": {
                "post": {
                    "operationId": "invocations",
                    "summary": "Forecasts of the weeks after the last observed one.",
                    "requestBody": {
                        "required": True,
                        "description": f"At most {BODY_LIMIT_BYTES} bytes. JSON in UTF-8; a member given twice is "
                        "refused. An answer holds at most "
                        f"{request.MAX_NUMBERS} numbers: series x periods x (1 + 2 x levels).",
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/Request"},
                                "examples": _request_examples(series[0]),
                            }
                        },
                    },
                    "responses": {
                        "200": {
                            "description": "The forecasts, series by series, weeks in order; as CSV where the field "
                            "`format` or the Accept header says so.",
                            "content": {
                                "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}},
                                "text/csv": {"schema": {"type": "string"}, "example": _CSV_EXAMPLE},
                            },
                        },
                        **_errors(400, 406, 408, 413, 415, 503),
                    },
                },
            },
            "/execution-parameters": {
                "get": {
                    "operationId": "execution_parameters",
                    "summary": "How SageMaker's batch transform should ask: a request a line.",
                    "responses": {
                        "200": {
                            "description": "Names and values as SageMaker reads them.",
                            "content": {"application/json": {"schema": {"type": "object", "required": list(BATCH)}}},
                        },
                        **_errors(503),
                    },
                },
            },
            "/openapi.json": {
                "get": {
                    "operationId": "description",
                    "summary": "This description.",
                    "responses": {
                        "200": {
                            "description": "OpenAPI 3.1.",
                            "content": {"application/json": {"schema": {"type": "object", "required": ["openapi"]}}},
                        },
                        **_errors(503),
                    },
                },
            },
        },
        "components": {"schemas": _schemas(series, needs_series=needs_series), "responses": _ERRORS},
    }


def _schemas(series: tuple[str, ...], *, needs_series: bool) -> dict[str, Schema]:
    name = {"type": "string", "enum": list(series)}
    periods = {
        "description": "Weeks ahead.",
        "default": request.PERIODS,
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": request.MAX_PERIODS},
            {"type": "string", "enum": list(request.PERIODS_TEXT)},
        ],
    }
    conf = {
        "description": "Coverage of the interval, 0.9 for nine weeks in ten.",
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            {"type": "string", "pattern": request.CONF_TEXT},
        ],
    }
    levels = {
        "description": "Coverages of the intervals, per cent. One that is given twice counts once.",
        "type": "array",
        "minItems": 1,
        "maxItems": request.MAX_LEVELS,
        "default": list(request.LEVELS),
        "items": {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100},
                {"type": "string", "pattern": request.LEVEL_TEXT},
            ]
        },
    }
    shared = {
        "interval": {
            "description": "How intervals are made. By default conformal where the series is calibrated, else normal; "
            "conformal is refused for a series that is not.",
            "type": "string",
            "enum": list(request.INTERVALS),
        },
        "format": {
            "description": "The form of the answer. By default what the Accept header prefers, else records.",
            "type": "string",
            "enum": list(request.FORMATS),
        },
    }
    return {
        "Request": {
            "oneOf": [{"$ref": "#/components/schemas/ShortRequest"}, {"$ref": "#/components/schemas/FullRequest"}]
        },
        "ShortRequest": {
            "description": "One series, one interval: the form of the published notebook system.",
            "type": "object",
            "required": ["conf", *(["series"] if needs_series else [])],
            "additionalProperties": False,
            "properties": {
                "conf": conf,
                "periods": periods,
                "series": {"anyOf": [name, {"type": "array", "items": name, "minItems": 1, "maxItems": 1}]},
                **shared,
            },
        },
        "FullRequest": {
            "description": "Any number of series and intervals; all series when none is named.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "periods": periods,
                "levels": levels,
                "series": {"anyOf": [name, {"type": "array", "items": name, "minItems": 1, "uniqueItems": True}]},
                **shared,
            },
        },
        "Answer": {
            "oneOf": [
                {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/ShortRow"}},
                {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/FullRow"}},
            ]
        },
        "ShortRow": {
            "description": "A week of a short request. The bounds are named by `conf`.",
            "type": "object",
            "required": ["date", "predictions"],
            "minProperties": 4,
            "maxProperties": 4,
            "properties": {"date": _DAY, "predictions": _FIGURE},
            "patternProperties": {"^(lower|upper)_pi_": _FIGURE},
            "additionalProperties": False,
        },
        "FullRow": {
            "description": "A week of a full request, with `lo-80` and `hi-80` for the level 80, and so on.",
            "type": "object",
            "required": ["unique_id", "ds", "cutoff", "horizon", "interval", "mean"],
            "properties": {
                "unique_id": name,
                "ds": _DAY,
                "cutoff": {**_DAY, "description": "The last observed week."},
                "horizon": {"type": "integer", "minimum": 1, "maximum": request.MAX_PERIODS},
                "interval": {"type": "string", "enum": list(request.INTERVALS)},
                "mean": _FIGURE,
            },
            "patternProperties": {"^(lo|hi)-[0-9]": _FIGURE},
            "additionalProperties": False,
        },
        "Error": {
            "description": "What was wrong, and in which field where one is at fault.",
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "string", "minLength": 1}, "field": {"type": "string"}},
            "additionalProperties": False,
        },
    }


def _request_examples(name: str) -> dict[str, Schema]:
    return {
        "short": {"value": {"periods": 10, "conf": 0.9, "series": name}},
        "full": {"value": {"periods": 26, "levels": [80, 95], "series": [name], "interval": "normal"}},
        "everything": {"value": {}},
    }


def _error(description: str, example: str, field: str | None = None) -> dict[str, Any]:
    value = {"error": example} | ({} if field is None else {"field": field})
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {"application/json": {"schema": schema, "example": value}}}


_ERRORS = {
    "400": _error(
        "The request is not as described; `field` names the one at fault.",
        f"periods must be a whole number from 1 to {request.MAX_PERIODS}",
        "periods",
    ),
    "406": _error("The Accept header leaves no form.", "the answer can be application/json or text/csv"),
    "408": _error("The body did not come in time.", f"the body did not come within {BODY_S:g} s"),
    "413": _error("The body is too large.", f"the body is larger than {BODY_LIMIT_BYTES} bytes"),
    "415": _error("The body is declared as something else.", "the content type must be application/json in UTF-8"),
    "503": {
        "description": "Too many connections at once; try again.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
}


def _errors(*statuses: int) -> dict[str, Schema]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
