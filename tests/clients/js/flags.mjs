// Evaluates a flag again and again with OpenFeature's server SDK and its OFREP provider: each evaluation is a request.
//
//   node flags.mjs URL TARGETING_KEY FLAG
//
// Prints each evaluation that is not as the one before.

import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";

const [baseUrl, targetingKey, key] = process.argv.slice(2);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl }));
const client = OpenFeature.getClient();
let last;
for (;;) {
  const evaluated = await client.getStringDetails(key, "unknown", { targetingKey });
  const { value, variant, reason, errorCode, flagMetadata } = evaluated;
  const line = JSON.stringify({ value, variant, reason, errorCode, metadata: flagMetadata });
  if (line !== last) {
    console.log(line);
    last = line;
  }
  await pause(50);
}
