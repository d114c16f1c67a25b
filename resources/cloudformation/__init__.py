"""Infrastructure as CloudFormation stacks: the templates, and the client that brings a stack to one."""
