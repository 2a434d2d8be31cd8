"""Follows a stream with the Python client of Durable Streams.

    python follow.py URL MODE        MODE: long-poll, sse, or once

Prints each event as it came, one a line, and `{"upToDate": …}` when it is told for the first time that there is no
more. The client ends when the server ends a stream of events, and when a connection breaks: then this goes on at the
last offset, as the protocol tells its users to. It ends by itself only with `once`, when it has everything.
"""

import json
import sys
import time

from durable_streams import stream

url, live = sys.argv[1:]
if live == "once":
    with stream(url, offset="-1") as response:
        for event in response.read_json():
            print(json.dumps(event), flush=True)
    sys.exit(0)

offset = "-1"
told = False
while True:
    try:
        with stream(url, offset=offset, live=live, timeout=60.0) as response:
            for batch in response.iter_events("json_batches"):
                for event in batch.data:
                    print(json.dumps(event), flush=True)
                offset = batch.next_offset
                if batch.up_to_date and not told:
                    print(json.dumps({"upToDate": offset}), flush=True)
                    told = True
    except Exception as error:  # noqa: BLE001: whatever it is, the offset says where to go on.
        print(f"begins again at {offset}: {error!r}", file=sys.stderr, flush=True)
        time.sleep(0.05)
