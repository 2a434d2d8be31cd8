"""Receives events by MQTT with paho-mqtt, and reads each with the Python SDK of CloudEvents.

    python mqtt.py HOST PORT VERSION CLIENT_ID TOPIC…        VERSION: 3.1.1 or 5

Prints `{"subscribed": …}`, then each message, one a line: where and how it came, what it says, and what the SDK made of it.
"""

import json
import sys

import paho.mqtt.client as mqtt
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

host, port, version, client_id, *topics = sys.argv[1:]
five = version == "5"


def say(line):
    print(json.dumps(line), flush=True)


def on_connect(client, _userdata, _flags, reason, _properties):
    if reason.is_failure:
        sys.exit(f"refused: {reason}")
    client.subscribe([(topic, 1) for topic in topics])


def on_subscribe(_client, _userdata, _mid, reasons, _properties):
    say({"subscribed": [reason.value for reason in reasons]})


def on_message(_client, _userdata, message):
    said = json.loads(message.payload)
    line = {"topic": message.topic, "qos": message.qos, "retain": message.retain, "said": said}
    if five:
        line["contentType"] = getattr(message.properties, "ContentType", None)
    if "specversion" in said:
        event = JSONFormat().read(CloudEvent, message.payload)
        attributes = event.get_attributes()
        line["sdk"] = {**attributes, "time": attributes["time"].timestamp(), "data": event.get_data()}
    say(line)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=client_id,
    protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect(host, int(port))
client.loop_forever()
