#!/bin/sh
# Makes the password and ACL files that mosquitto reads, owned by its user, then becomes mosquitto.
set -eu
umask 077
data=/mosquitto/data
rm -f "$data/passwd"
mosquitto_passwd -c -b "$data/passwd" gateway "$GATEWAY_MQTT_PASSWORD"
mosquitto_passwd -b "$data/passwd" terminal "$TERMINAL_MQTT_PASSWORD"
cp /mosquitto/config/acl.source "$data/acl"
chown -R mosquitto:mosquitto "$data"
chmod 600 "$data/passwd" "$data/acl"
exec mosquitto -c /mosquitto/config/mosquitto.conf
