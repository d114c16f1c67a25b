"""The Lambda function in front of the endpoint."""
