"""SageMaker: clients, and the Pipes client that runs jobs for assets."""
