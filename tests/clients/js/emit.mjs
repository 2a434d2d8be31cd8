// Posts events with the SDK of the CloudEvents project.
//
//   node emit.mjs URL
//
// Prints what was sent and answered, one a line. The SDK writes no batches: an array of its events is one.

import { CloudEvent, HTTP } from "cloudevents";

const [url] = process.argv.slice(2);
const authorization = `Bearer ${process.env.CHANGEOVER_TOKEN}`;

function event(number, more) {
  return new CloudEvent({
    id: `js-${number}`,
    source: "/orders/eu",
    type: "com.example.order.updated",
    subject: `js order ${number}`,
    time: "2026-01-02T03:04:05.678Z",
    datacontenttype: "application/json",
    audience: "u1",
    data: { number, text: "½ \"quoted\"", list: [1.5, null] },
    ...more,
  });
}

async function post(mode, message) {
  const answer = await fetch(url, { method: "POST", headers: { ...message.headers, authorization }, body: message.body });
  console.log(JSON.stringify({ mode, status: answer.status, answer: await answer.json() }));
}

const removed = { type: "com.example.order.deleted", data: undefined };
await post("binary", HTTP.binary(event(1)));
// In binary mode the SDK sends a text as it is: it takes it for JSON already.
await post("binary", HTTP.binary(event(2, { data: JSON.stringify("just text"), audience: "*" })));
await post("structured", HTTP.structured(event(3)));
await post("structured", HTTP.structured(event(1, { id: "js-4", ...removed })));
await post("batch", {
  headers: { "content-type": "application/cloudevents-batch+json" },
  body: JSON.stringify([event(5), event(6)]),
});
await post("repeat", HTTP.structured(event(5)));
