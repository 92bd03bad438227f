"""boto3 as a process of its own: a call a line on standard input, what came back of it a line on standard output."""

import base64
import datetime
import json
import sys

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

# Constraints are the service's to check; a second attempt would hide what the first one was answered.
CONFIG = Config(parameter_validation=False, retries={"total_max_attempts": 1})
session = boto3.Session()


def call(request):
    client = session.client(
        request["service"],
        endpoint_url=request["endpoint"],
        region_name=request["region"],
        aws_access_key_id=request["accessKeyId"],
        aws_secret_access_key=request["secretAccessKey"],
        config=CONFIG,
    )
    answers = []
    client.meta.events.register(
        "before-parse", lambda response_dict, **_: answers.append(dict(response_dict))
    )
    method = getattr(client, xform_name(request["operation"]))
    try:
        output = method(**request["input"])
        output.pop("ResponseMetadata", None)
        outcome = {"output": output}
    except ClientError as error:
        details = error.response["Error"]
        outcome = {"error": {"name": details["Code"], "message": details.get("Message") or ""}}
    finally:
        client.close()
    assert len(answers) == 1, f"expected one answer, had {len(answers)}"
    answer = answers[0]
    return {
        **outcome,
        "status": answer["status_code"],
        "headers": {name.lower(): value for name, value in answer["headers"].items()},
        "body": base64.b64encode(answer["body"]).decode(),
    }


def plain(value):
    if isinstance(value, datetime.datetime):
        return round(value.timestamp(), 3)
    raise TypeError(type(value))


for line in sys.stdin:
    try:
        result = call(json.loads(line))
    except Exception as error:  # Whatever it is belongs to the case that asked, which fails with it.
        result = {"failure": f"{type(error).__name__}: {error}"}
    print(json.dumps(result, default=plain), flush=True)
