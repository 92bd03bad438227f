"""The walkthrough with unmodified boto3 and requests, driven by the variables that `torpor env` exports."""

import io
import os
import sys
import time
import zipfile

import boto3
import requests

app, ingress = sys.argv[1], os.environ["TORPOR_INGRESS"]
region, account = os.environ["AWS_REGION"], os.environ["AWS_ACCOUNT_ID"]
s3, microvms = boto3.client("s3"), boto3.client("lambda-microvms")

archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
    for name in sorted(os.listdir(app)):
        zipped.write(os.path.join(app, name), name)
s3.create_bucket(Bucket="code")
s3.upload_fileobj(io.BytesIO(archive.getvalue()), "code", "counter.zip")
assert s3.head_object(Bucket="code", Key="counter.zip")["ContentLength"] == len(archive.getvalue())


def wait(look, wanted, seconds=300):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = look()
        if answer["state"] in wanted:
            return answer
        assert answer["state"] not in ("FAILED", "TERMINATED"), answer
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s for {wanted}, is {answer['state']}")


image = microvms.create_microvm_image(
    name="boto",
    codeArtifact={"uri": "s3://code/counter.zip"},
    baseImageArn=f"arn:aws:lambda:{region}:aws:microvm-image:al2023-1",
    buildRoleArn=f"arn:aws:iam::{account}:role/build",
    resources=[{"minimumMemoryInMiB": 512}],
)["imageArn"]
wait(lambda: microvms.get_microvm_image_version(imageIdentifier=image, imageVersion="1.0"), ["SUCCESSFUL"])

policy = {"maxIdleDurationSeconds": 600, "suspendedDurationSeconds": 600, "autoResumeEnabled": True}
microvm = microvms.run_microvm(imageIdentifier=image, idlePolicy=policy)
identifier, endpoint = microvm["microvmId"], microvm["endpoint"]
get = lambda: microvms.get_microvm(microvmIdentifier=identifier)
wait(get, ["RUNNING"])
token = microvms.create_microvm_auth_token(
    microvmIdentifier=identifier, expirationInMinutes=5, allowedPorts=[{"port": 8080}]
)["authToken"]

# By the endpoint's name where the system resolves it, and by the token alone on localhost.
headers = {**token, "Host": endpoint}
first = requests.get(f"https://{ingress}/", headers=headers, timeout=60).json()
second = requests.get(f"https://localhost:{ingress.rsplit(':', 1)[1]}/", headers=token, timeout=60).json()
assert (first["count"], second["count"]) == (1, 2), (first, second)
assert first["pid"] == second["pid"]

microvms.suspend_microvm(microvmIdentifier=identifier)
wait(get, ["SUSPENDED"])
third = requests.get(f"https://{ingress}/", headers=headers, timeout=60).json()
assert third["count"] == 3 and third["pid"] == first["pid"], third
assert third["uptimeSeconds"] >= second["uptimeSeconds"]

assert identifier in [item["microvmId"] for item in microvms.list_microvms()["items"]]
microvms.terminate_microvm(microvmIdentifier=identifier)
wait(lambda: {"state": "gone" if get()["state"] == "TERMINATED" else "going"}, ["gone"])
microvms.delete_microvm_image(imageIdentifier=image)
print("walked through")
