// Follows a stream with the client of the Durable Streams project.
//
//   node follow.mjs URL MODE        MODE: long-poll, sse, or once
//
// Prints each event as it came, one a line, and `{"upToDate":…}` when it is told that there is no more. When the
// connection breaks in a way that the client does not mend by itself, it goes on at the last offset, as the protocol
// tells its users to. It ends by itself only with `once`, when it has everything.

import { stream } from "@durable-streams/client";

const [url, live] = process.argv.slice(2);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

if (live === "once") {
  const response = await stream({ url, offset: "-1", live: true, json: true });
  for (const event of await response.json()) {
    console.log(JSON.stringify(event));
  }
  process.exit(0);
}

let offset = "-1";
let first = true;
for (;;) {
  try {
    const response = await stream({
      url,
      offset,
      live,
      json: true,
      backoffOptions: { initialDelay: 50, maxDelay: 500, multiplier: 1.5 },
      sseResilience: { maxShortConnections: 1000, logWarnings: false },
    });
    response.subscribeJson(async (batch) => {
      for (const event of batch.items) {
        console.log(JSON.stringify(event));
      }
      if (batch.upToDate && first) {
        console.log(JSON.stringify({ upToDate: batch.offset }));
        first = false;
      }
      offset = batch.offset;
    });
    await response.closed;
    console.error("the client says that the stream is closed");
  } catch (error) {
    console.error(`begins again at ${offset}: ${error}`);
  }
  await pause(50);
}
