// Keeps all flags with OpenFeature's web SDK and its OFREP provider, as a page does: one bulk evaluation, then evaluations from
// memory.
//
//   node flags-web.mjs URL TARGETING_KEY HOW FLAG…        HOW: sse, or polling, and +TOKEN for known callers
//
// Prints each answer over HTTP as `{"answered":…}`, and what the flags are as `{"flags":…,"because":…}`: once it is ready, and with
// each change that the provider tells of.

import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";
import { EventSource } from "eventsource";

const [baseUrl, targetingKey, how, ...keys] = process.argv.slice(2);
const [changeDetection, token] = how.split("+");
const say = (line) => console.log(JSON.stringify(line));
// Browsers have one.
globalThis.EventSource = EventSource;

const provider = new OFREPWebProvider({
  baseUrl,
  changeDetection,
  pollInterval: changeDetection === "polling" ? 100 : 0,
  fetchImplementation: async (request, options) => {
    if (token) request.headers.set("authorization", `Bearer ${token}`);
    const response = await fetch(request, options);
    say({ answered: response.status, told: new URL(request.url).searchParams.get("flagConfigEtag") });
    return response;
  },
});
const client = OpenFeature.getClient();
const tell = (because) => {
  const details = keys.map((key) => client.getStringDetails(key, "unknown"));
  const told = ({ flagKey, value, variant, reason, errorCode, flagMetadata }) => [
    flagKey,
    { value, variant, reason, errorCode, metadata: flagMetadata },
  ];
  say({ because, flags: Object.fromEntries(details.map(told)) });
};
await OpenFeature.setContext({ targetingKey });
await OpenFeature.setProviderAndWait(provider);
tell("ready");
OpenFeature.addHandler(ProviderEvents.ConfigurationChanged, (event) => tell(event.flagsChanged));
