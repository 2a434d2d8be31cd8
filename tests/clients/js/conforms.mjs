// Whether an AsyncAPI document is one, by the official schema of its version.
//
//   node conforms.mjs URL

import Ajv from "ajv";
import addFormats from "ajv-formats";
import specs from "@asyncapi/specs";

const [url] = process.argv.slice(2);
const authorization = `Bearer ${process.env.CHANGEOVER_TOKEN}`;
const document = await (await fetch(url, { headers: { authorization } })).json();
// The schema brings the schema of schemas along.
const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false });
addFormats(ajv);
const schema = specs.schemas[document.asyncapi];
const validate = ajv.compile(schema);
const conforms = validate(document);
for (const error of validate.errors ?? []) {
  console.log(`${error.instancePath}: ${error.message}`);
}
process.exit(conforms ? 0 : 1);
