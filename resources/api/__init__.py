"""The REST API in front of the endpoint, on AWS or on this machine: deployed, asked, taken down."""
