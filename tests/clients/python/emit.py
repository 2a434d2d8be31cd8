"""Posts events with the Python SDK of CloudEvents.

    python emit.py URL

Prints what was sent and answered, one a line. The SDK writes no batches: an array of its events is one.
"""

import json
import os
import sys
from datetime import datetime, timezone

import httpx
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

[url] = sys.argv[1:]


def event(number, data=..., **more):
    attributes = {
        "id": f"py-{number}",
        "source": "/orders/eu",
        "type": "com.example.order.updated",
        "subject": f"py order {number}, ½",
        "time": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc),
        "datacontenttype": "application/json",
        "audience": "u1",
        **more,
    }
    if data is ...:
        data = {"number": number, "text": '½ "quoted"', "list": [1.5, None]}
    return CloudEvent(attributes, data)


def post(mode, headers, body):
    answer = httpx.post(url, headers={**headers, "authorization": f"Bearer {os.environ['CHANGEOVER_TOKEN']}"}, content=body, trust_env=False)
    line = {"mode": mode, "status": answer.status_code, "answer": answer.json()}
    print(json.dumps(line), flush=True)


def send(mode, message):
    post(mode, message.headers, message.body)


REMOVED = {"type": "com.example.order.deleted", "data": None}
send("binary", to_binary_event(event(1)))
# In binary mode the SDK sends a text as it is: it takes it for JSON already.
send("binary", to_binary_event(event(2, data=json.dumps("just text"), audience="*")))
send("structured", to_structured_event(event(3)))
send("structured", to_structured_event(event(1, id="py-4", **REMOVED)))
batch = [json.loads(to_structured_event(event(number)).body) for number in (5, 6)]
post("batch", {"content-type": "application/cloudevents-batch+json"}, json.dumps(batch))
send("repeat", to_structured_event(event(5)))
