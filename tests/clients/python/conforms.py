"""Whether an OpenAPI document is one, by the schema and the rules of its version.

    python conforms.py URL
"""

import os
import sys

import httpx
from openapi_spec_validator import OpenAPIV31SpecValidator

[url] = sys.argv[1:]
headers = {"authorization": f"Bearer {os.environ['CHANGEOVER_TOKEN']}"}
document = httpx.get(url, headers=headers, trust_env=False).json()
errors = list(OpenAPIV31SpecValidator(document).iter_errors())
for error in errors:
    print(f"{'/'.join(map(str, error.absolute_path))}: {error.message}")
if not document["openapi"].startswith("3.1."):
    errors.append(document["openapi"])
sys.exit(bool(errors))
