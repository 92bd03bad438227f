"""HTTP and WebSocket clients of Python before an endpoint. Prints one JSON object: what each of them saw.

Arguments: base URL, port of the HTTP application. Environment: TORPOR_TOKEN, TORPOR_CA.
"""

import asyncio
import hashlib
import json
import os
import ssl
import sys

import httpx
import requests
import websockets

BASE, PORT = sys.argv[1], sys.argv[2]
CA, TOKEN = os.environ["TORPOR_CA"], os.environ["TORPOR_TOKEN"]
HEADERS = {"X-aws-proxy-auth": TOKEN, "X-aws-proxy-port": PORT}
BODY = os.urandom(1 << 20) * 8
DIGEST = hashlib.sha256(BODY).hexdigest()


def pieces():
    for start in range(0, len(BODY), 100_000):
        yield BODY[start : start + 100_000]


def with_requests():
    session = requests.Session()
    session.verify, session.headers = CA, dict(HEADERS)
    anonymous = requests.get(BASE, verify=CA)
    whole = session.post(f"{BASE}/digest", data=BODY)
    chunked = session.post(f"{BASE}/digest", data=pieces())
    download = session.get(f"{BASE}/bytes?{32 << 20}")
    return {
        "without a token": anonymous.status_code,
        "kept connection": [session.get(f"{BASE}/hello").text for _ in range(5)],
        "upload of known length": whole.text == DIGEST,
        "chunked upload": chunked.text == DIGEST,
        "download": len(download.content),
        "events": events_with_requests(session),
    }


def events_with_requests(session):
    """The second event comes once the first has been read: a proxy that holds events back would wait for ever."""
    seen = []
    with session.get(f"{BASE}/events", stream=True, timeout=20) as response:
        for line in response.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                seen.append(line[6:].decode())
                session.post(f"{BASE}/go")
    return seen


async def with_httpx():
    context = ssl.create_default_context(cafile=CA)
    async with httpx.AsyncClient(http2=True, verify=context, headers=HEADERS) as client:
        first = await client.get(f"{BASE}/hello")
        many = await asyncio.gather(*(client.get(f"{BASE}/hello?{n}") for n in range(50)))
        upload = await client.post(f"{BASE}/digest", content=BODY)
        async with client.stream("GET", f"{BASE}/bytes?{32 << 20}") as response:
            length = sum([len(chunk) async for chunk in response.aiter_bytes()])
    return {
        "version": first.http_version,
        "side by side": [response.text for response in many],
        "upload": upload.text == DIGEST,
        "download": length,
    }


async def with_websockets():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    context = ssl.create_default_context(cafile=CA)
    url = BASE.replace("https:", "wss:") + "/socket"
    large = os.urandom(1 << 20)
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        by_header = {"X-aws-proxy-auth": TOKEN, "X-aws-proxy-port": str(port)}
        options = {"ssl": context, "max_size": None}
        async with websockets.connect(url, additional_headers=by_header, **options) as socket:
            await socket.send("text")
            text = await socket.recv()
            await socket.send(large)
            binary = await socket.recv() == large
            await socket.send(iter(["a", "b", "c"]))
            fragments = await socket.recv()
            await (await socket.ping())
        offered = ["lambda-microvms", f"lambda-microvms.authentication.{TOKEN}"]
        offered.append(f"lambda-microvms.port.{port}")
        async with websockets.connect(url, subprotocols=offered, **options) as socket:
            chosen = socket.subprotocol
            await socket.send("again")
            again = await socket.recv()
        try:
            await websockets.connect(url, **options)
            refused = None
        except websockets.InvalidStatus as error:
            refused = error.response.status_code
    return {
        "text": text,
        "binary": binary,
        "fragments": fragments,
        "chosen sub-protocol": chosen,
        "by sub-protocols": again,
        "without a token": refused,
    }


print(
    json.dumps(
        {
            "requests": with_requests(),
            "httpx": asyncio.run(with_httpx()),
            "websockets": asyncio.run(with_websockets()),
        }
    )
)
