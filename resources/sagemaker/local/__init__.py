"""SageMaker's control plane as processes on this machine, answering unchanged boto3 clients."""
