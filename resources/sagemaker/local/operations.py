"""SageMaker's control plane, its runtime and its logs, on this machine."""

from resources.sagemaker.local.endpoints import Endpoints
from resources.sagemaker.local.log_events import LogEvents
from resources.sagemaker.local.registry import Registry
from resources.sagemaker.local.transform_jobs import TransformJobs
from resources.sagemaker.local.tuning_jobs import TuningJobs


class LocalSageMaker(TransformJobs, TuningJobs, Registry, Endpoints, LogEvents):
    """Answers operations: one method each, named as boto3 names it, the request and the answer in JSON form.

    Requests have been checked against the service's model (see ``wire.checked``); what the model cannot say is
    checked here. Any number of processes may answer from one root: the state is all on disk.
    """
