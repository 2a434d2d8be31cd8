// Receives events by MQTT with MQTT.js, and reads each with the JavaScript SDK of CloudEvents.
//
//   node mqtt.mjs URL VERSION CLIENT_ID TOPIC…        URL: mqtt://… or ws://…, VERSION: 3.1.1 or 5
//
// Prints `{"subscribed":…}`, then each message, one a line: where and how it came, what it says, and what the SDK made of it.

import { MQTT } from "cloudevents";
import mqtt from "mqtt";

const [url, version, clientId, ...topics] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

const client = await mqtt.connectAsync(url, { clientId, protocolVersion: version === "5" ? 5 : 4 });
client.on("message", (topic, payload, packet) => {
  const said = JSON.parse(payload);
  const line = { topic, qos: packet.qos, retain: packet.retain, said };
  // On MQTT 3.1.1 there is no content type: the binding says that it is implied.
  const contentType = packet.properties?.contentType;
  if (version === "5") {
    line.contentType = contentType;
  }
  if (said.specversion) {
    const type = contentType ?? "application/cloudevents+json";
    const message = { PUBLISH: { "Content Type": type }, headers: {}, body: payload.toString() };
    const event = MQTT.toEvent(message, true);
    event.validate();
    line.sdk = { ...event.toJSON(), time: Date.parse(event.time) / 1000 };
  }
  say(line);
});
const granted = await client.subscribeAsync(topics, { qos: 1 });
say({ subscribed: granted.map((one) => one.qos) });
