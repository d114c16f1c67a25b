"""Names of jobs: a function of what a job computes, so that a process that lost its job finds it again."""

import hashlib
import json
import re

import dagster as dg

from resources.sagemaker.pipes.kinds import JobKind, Request

_FINGERPRINT = 12
_ATTEMPT = 4  # a hyphen and three digits


def job_stem(context: dg.AssetExecutionContext, kind: JobKind, request: Request, *, salt: str = "") -> str:
    """The name of a job up to its attempt: asset, partition, and a hash of request and salt.

    The instance type is not in it: whatever a job runs on, it computes the same. It leaves room for an attempt of up to
    three digits.
    """
    canonical = json.dumps({"request": kind.on_instance_type(request, None), "salt": salt}, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(canonical.encode()).hexdigest()[:_FINGERPRINT]
    parts = [context.asset_key.path[-1], context.partition_key if context.has_partition_key else ""]
    room = kind.longest_name - _FINGERPRINT - _ATTEMPT - 1
    label = re.sub(r"[^a-zA-Z0-9]+", "-", "-".join(filter(None, parts))).strip("-")[:room].strip("-")
    return f"{label}-{fingerprint}" if label else fingerprint
