"""Evaluates a flag again and again with OpenFeature's Python SDK and its OFREP provider: each evaluation is a request.

    python flags.py URL TARGETING_KEY FLAG

Prints each evaluation that is not as the one before.
"""

import json
import sys
import time

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

url, targeting_key, key = sys.argv[1:]
api.set_provider(OFREPProvider(url))
client = api.get_client()
context = EvaluationContext(targeting_key=targeting_key)
last = None
while True:
    details = client.get_string_details(key, "unknown", context)
    line = {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "errorCode": details.error_code,
        "metadata": dict(details.flag_metadata),
    }
    if line != last:
        print(json.dumps(line), flush=True)
        last = line
    time.sleep(0.05)
