"""Counts requests in memory: the count, the process and its uptime all survive a suspend and a resume."""

import os
import threading
import time
from datetime import datetime, timezone

from flask import Flask

app = Flask(__name__)

started_at = datetime.now(timezone.utc)
started = time.monotonic()

count = 0
count_lock = threading.Lock()


@app.get("/")
def index():
    global count
    with count_lock:
        count += 1
        current = count
    return {
        "count": current,
        "pid": os.getpid(),
        "uptimeSeconds": round(time.monotonic() - started, 3),
        "startedAt": started_at.isoformat(),
    }


@app.get("/healthz")
def healthz():
    return {"status": "ok"}
