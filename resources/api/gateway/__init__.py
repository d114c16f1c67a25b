"""API Gateway on this machine: a process that enforces key, rate and quota, and calls the Lambda handler."""
