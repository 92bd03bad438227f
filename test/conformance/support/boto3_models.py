"""Where botocore's models have their operations, as JSON: method, path, status and query of each by name."""

import json
import sys

import botocore.session

session = botocore.session.get_session()


def binding(operation):
    http = operation.http
    members = operation.input_shape.members if operation.input_shape else {}
    query = {
        name: shape.serialization["name"]
        for name, shape in members.items()
        if shape.serialization.get("location") == "querystring"
    }
    return {
        "method": http["method"],
        "path": http["requestUri"],
        "status": http["responseCode"],
        "query": query,
    }


models = [session.get_service_model(name) for name in sys.argv[1:]]
json.dump(
    {
        name: binding(model.operation_model(name))
        for model in models
        for name in model.operation_names
    },
    sys.stdout,
)
