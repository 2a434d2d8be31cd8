#!/bin/sh
# Mosquitto with its dynamic-security plugin, prepared as docs/BROKERS.md says, in the foreground.
#
#   GATEWAY_MQTT_PASSWORD=… start.sh [FOLDER [PORT [ADDRESS]]]
#
# The plugin's file is made once: a later password is set by `mosquitto_ctrl dynsec setClientPassword`.
set -eu
umask 077
: "${GATEWAY_MQTT_PASSWORD:?the password of the gateway}"
here=$(dirname "$0")
data=${1:-/mosquitto/data} port=${2:-1883} address=${3:-127.0.0.1}
file=$data/dynamic-security.json

plugin=
for place in /usr/lib/mosquitto_dynamic_security.so /usr/lib/*/mosquitto_dynamic_security.so; do
  [ -e "$place" ] && plugin=$place
done
[ -n "$plugin" ] || { echo "mosquitto_dynamic_security.so is not in /usr/lib" >&2; exit 1; }

# The configuration for this place; $1 = where it listens, $2 = the plugin's file.
config() {
  sed -e "s|^listener .*|listener $1|" -e "s|^plugin /.*|plugin $plugin|" \
    -e "s|^plugin_opt_config_file .*|plugin_opt_config_file $2|" -e "s|^persistence_location .*|persistence_location $data/|" "$here/mosquitto.conf"
}

# mosquitto becomes its own user where this is root.
own() {
  if [ "$(id -u)" = 0 ]; then chown -R mosquitto:mosquitto "$data"; fi
}

mkdir -p "$data"
if [ ! -e "$file" ]; then
  # Whole or not at all: what is prepared has another name until it is.
  rm -f "$file.first"
  mosquitto_ctrl dynsec init "$file.first" gateway "$GATEWAY_MQTT_PASSWORD" >/dev/null
  config "$port 127.0.0.1" "$file.first" | sed '/^persistence/d' >"$data/first.conf"
  own
  mosquitto -c "$data/first.conf" &
  first=$!
  trap 'kill "$first" 2>/dev/null || true' EXIT
  # The last command ends the connection of the client whose role it is: said again, all of it is so already.
  tries=50
  until mosquitto_pub -h 127.0.0.1 -p "$port" -u gateway -P "$GATEWAY_MQTT_PASSWORD" -q 1 \
    -t '$CONTROL/dynamic-security/v1' -f "$here/first.json" 2>/dev/null; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] && kill -0 "$first" || { echo "mosquitto cannot be prepared" >&2; exit 1; }
    sleep 0.2
  done
  kill "$first"
  wait "$first" || true
  trap - EXIT
  if grep -qE '"(publishClientSend|publishClientReceive|subscribe)":[[:space:]]*true' "$file.first"; then
    echo "the plugin has not taken first.json" >&2
    exit 1
  fi
  rm "$data/first.conf"
  mv "$file.first" "$file"
fi
config "$port $address" "$file" >"$data/mosquitto.conf"
own
exec mosquitto -c "$data/mosquitto.conf"
