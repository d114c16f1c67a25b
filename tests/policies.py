"""The policies of a template as IAM would see and judge them: references resolved, statements evaluated.

How IAM decides: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html. What is not
needed here (principals, sessions, organizations, NotAction, NotResource) is refused rather than passed over.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cfnlint
from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "resources" / "cloudformation"
ACCOUNT, REGION = "123456789012", "eu-west-1"

Statement = Mapping[str, Any]

# What the function Arn gives, with the name of the thing for {}.
_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{}}",
    "AWS::ECR::Repository": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{{}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}",
}
_NAMES = ("BucketName", "QueueName", "TopicName", "RepositoryName", "RoleName", "ManagedPolicyName", "FunctionName")
_REFERRED_BY_ARN = {"AWS::SNS::Topic", "AWS::IAM::ManagedPolicy"}


@dataclass(frozen=True)
class Template:
    """A template, resolved for an account.

    Attributes:
        content: As it is written.
        parameters: Their values, and the pseudo parameters.
    """

    content: Mapping[str, Any]
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def resources(self) -> Mapping[str, Any]:
        return dict(self.content["Resources"])

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolve(each) for each in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Ref"}:
            return self._ref(value["Ref"])
        if set(value) == {"Fn::GetAtt"}:
            return self._attribute(*value["Fn::GetAtt"])
        if set(value) == {"Fn::Sub"}:
            return re.sub(r"\$\{([\w:.]+)\}", lambda match: self._named(match[1]), value["Fn::Sub"])
        assert not any(key.startswith("Fn::") for key in value), value
        return {key: self.resolve(each) for key, each in value.items()}

    def role(self, name: str) -> list[Statement]:
        """All statements of a role's policies."""
        properties = self.resources[name]["Properties"]
        documents = [each["PolicyDocument"] for each in properties.get("Policies", [])]
        documents += [
            self.resources[each["Ref"]]["Properties"]["PolicyDocument"]
            for each in properties.get("ManagedPolicyArns", [])
        ]
        return [statement for document in documents for statement in self.resolve(document)["Statement"]]

    def policies(self) -> Iterator[tuple[str, Statement]]:
        """Every statement that allows a principal of this account something, with where it stands."""
        for name, resource in self.resources.items():
            properties = resource["Properties"]
            documents = []
            if resource["Type"] == "AWS::IAM::Role":
                documents = [each["PolicyDocument"] for each in properties.get("Policies", [])]
            elif resource["Type"] == "AWS::IAM::ManagedPolicy":
                documents = [properties["PolicyDocument"]]
            for document in documents:
                for number, statement in enumerate(self.resolve(document)["Statement"]):
                    yield f"{name}.{statement.get('Sid', number)}", statement

    def _named(self, name: str) -> str:
        logical, _, attribute = name.partition(".")
        return str(self._attribute(logical, attribute) if attribute else self._ref(name))

    def _ref(self, name: str) -> Any:
        if name in self.parameters:
            return self.parameters[name]
        if name in self.content.get("Parameters", {}):
            return self.content["Parameters"][name]["Default"]
        if self.resources[name]["Type"] in _REFERRED_BY_ARN:
            return self._attribute(name, "Arn")
        return self._name(name)

    def _attribute(self, name: str, attribute: str) -> str:
        assert attribute == "Arn", f"{name}.{attribute}"
        return _ARNS[self.resources[name]["Type"]].format(self._name(name))

    def _name(self, name: str) -> str:
        properties = self.resources[name].get("Properties", {})
        given = [properties[each] for each in (*_NAMES, "LogGroupName", "Name") if each in properties]
        return str(self.resolve(given[0])) if given else f"{self.parameters['AWS::StackName']}-{name}-1A2B3C4D5E6F"


def load(name: str, stack: str, **parameters: str) -> Template:
    """A template of the project, as a stack of some name in the account of the tests."""
    return Template(cfn_yaml.load(str(TEMPLATES / name)), parameters | pseudo(stack))


def pseudo(stack: str) -> dict[str, str]:
    return {
        "AWS::AccountId": ACCOUNT,
        "AWS::Region": REGION,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::StackName": stack,
        "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{stack}/1a2b3c4d",
    }


def allowed(
    statements: Sequence[Statement], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether IAM allows an action on a resource: something allows it and nothing denies it."""
    applying = [each for each in statements if _applies(each, action, resource, context or {})]
    return any(each["Effect"] == "Allow" for each in applying) and all(each["Effect"] == "Allow" for each in applying)


def _applies(statement: Statement, action: str, resource: str, context: Mapping[str, str]) -> bool:
    assert not {"NotAction", "NotResource", "Principal"} & set(statement), statement
    return (
        any(matches(each.lower(), action.lower()) for each in listed(statement["Action"]))
        and any(matches(each, resource) for each in listed(statement["Resource"]))
        and all(_holds(kind, asked, context) for kind, asked in statement.get("Condition", {}).items())
    )


def _holds(kind: str, asked: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """Whether a condition holds; a key that the request does not have makes it false."""
    alike = {"StringEquals": str.__eq__, "StringLike": lambda value, pattern: matches(pattern, value)}[kind]
    return all(
        key in context and any(alike(context[key], each) for each in listed(wanted)) for key, wanted in asked.items()
    )


def matches(pattern: str, text: str) -> bool:
    """IAM's wildcards: * for any characters, ? for one."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, re.DOTALL) is not None


def listed(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [str(value)]


@cache
def reference() -> dict[str, Any]:
    """AWS's service authorization reference, as cfn-lint carries it: actions, and what they can be limited to."""
    path = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    return dict(json.loads(path.read_text()))


def limits(action: str) -> list[str] | None:
    """Patterns of the ARNs that an action can be limited to; empty where only * will do, None for no such action."""
    service, _, name = action.partition(":")
    known = reference().get(service, {}).get("Actions", {}).get(name.lower())
    if known is None:
        return None
    kinds = reference()[service]["Resources"]
    formats = [form for kind in known.get("Resources", []) for form in kinds[kind.lower()]["ARNFormats"]]
    # cfn-lint has cut the names off; what is left ends in .* or is whole.
    return [
        re.sub(r"\$\{\w+\}", "*", form.removesuffix(".*") + ("*" if form.endswith(".*") else "")) for form in formats
    ]
