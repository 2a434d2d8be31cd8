"""Sends a listener what its own description allows and forbids, with schemathesis, and holds each answer against it.

    python probe.py LISTENER SEED EXAMPLES
"""

import os
import sys
import tempfile

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
# What it remembers from run to run would make the runs differ.
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
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
            f"--header=Authorization: Bearer {os.environ['CHANGEOVER_TOKEN']}",
        ]
    )
