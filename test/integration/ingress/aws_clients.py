"""boto3 before an endpoint whose application is an S3. Prints one JSON object: what it saw.

Arguments: base URL, port of the application, bucket. Environment: TORPOR_TOKEN, TORPOR_CA, AWS credentials and region.
"""

import io
import json
import os
import sys

import boto3
import requests
from botocore.config import Config

BASE, PORT, BUCKET = sys.argv[1:4]
CA = os.environ["TORPOR_CA"]
HEADERS = {"X-aws-proxy-auth": os.environ["TORPOR_TOKEN"], "X-aws-proxy-port": PORT}
LARGE = os.urandom(1 << 20) * 17


def add_headers(request, **_rest):
    """After signing: the endpoint takes these fields away, so the signature must not cover them."""
    for name, value in HEADERS.items():
        request.headers[name] = value


config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
s3 = boto3.client("s3", endpoint_url=BASE, verify=CA, config=config)
s3.meta.events.register("before-send.s3", add_headers)

s3.put_object(Bucket=BUCKET, Key="small", Body=b"small")
s3.put_object(Bucket=BUCKET, Key="odd ~!*'()/ü +%2F", Body=io.BytesIO(b"odd"), ChecksumAlgorithm="SHA256")
s3.upload_fileobj(io.BytesIO(LARGE), BUCKET, "large")
downloaded = io.BytesIO()
s3.download_fileobj(BUCKET, "large", downloaded)
url = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "small"})

print(
    json.dumps(
        {
            "keys": [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]],
            "odd": s3.get_object(Bucket=BUCKET, Key="odd ~!*'()/ü +%2F")["Body"].read().decode(),
            "large": downloaded.getvalue() == LARGE,
            "part": s3.get_object(Bucket=BUCKET, Key="small", Range="bytes=1-3")["Body"].read().decode(),
            "by a signed URL": requests.get(url, headers=HEADERS, verify=CA).text,
        }
    )
)
