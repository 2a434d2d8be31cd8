#!/bin/sh
# Makes the password and ACL files that mosquitto reads, owned by its user, then becomes mosquitto.
set -eu
umask 077
data=/mosquitto/data
rm -f "$data/passwd"
# Asked twice, as at a terminal: arguments show in the list of processes, and printf is a part of the shell.
printf '%s\n' "$GATEWAY_MQTT_PASSWORD" "$GATEWAY_MQTT_PASSWORD" | mosquitto_passwd -c "$data/passwd" gateway >/dev/null
printf '%s\n' "$TERMINAL_MQTT_PASSWORD" "$TERMINAL_MQTT_PASSWORD" | mosquitto_passwd "$data/passwd" terminal >/dev/null
cp /mosquitto/config/acl.source "$data/acl"
chown -R mosquitto:mosquitto "$data"
chmod 600 "$data/passwd" "$data/acl"
exec mosquitto -c /mosquitto/config/mosquitto.conf
