"""Whether an OpenAPI document is one, by the schema and the rules of its version.

    python conforms.py URL
"""

import sys

import httpx
from openapi_spec_validator import OpenAPIV31SpecValidator

[url] = sys.argv[1:]
document = httpx.get(url, trust_env=False).json()
errors = list(OpenAPIV31SpecValidator(document).iter_errors())
for error in errors:
    print(f"{'/'.join(map(str, error.absolute_path))}: {error.message}")
if not document["openapi"].startswith("3.1."):
    errors.append(document["openapi"])
sys.exit(bool(errors))
