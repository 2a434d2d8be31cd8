"""Sends a listener what its own description allows and forbids, with schemathesis, and holds each answer against it.

    python probe.py LISTENER SEED EXAMPLES
"""

import sys

from schemathesis.cli import schemathesis

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
]

listener, seed, examples = sys.argv[1:]
schemathesis(
    [
        "run",
        f"{listener}/openapi.json",
        "--checks=" + ",".join(CHECKS),
        "--phases=examples,coverage,fuzzing",
        f"--seed={seed}",
        f"--max-examples={examples}",
        "--request-timeout=30",
        "--continue-on-failure",
        "--suppress-health-check=all",
        "--no-color",
    ]
)
