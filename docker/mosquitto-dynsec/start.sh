#!/bin/sh
# Mosquitto with its dynamic-security plugin, prepared as docs/BROKERS.md says, in the foreground.
#
#   GATEWAY_MQTT_PASSWORD=… start.sh [FOLDER [PORT [ADDRESS]]]
#
# The plugin's file is made once: a later password is set by `mosquitto_ctrl dynsec setClientPassword`. The password is no argument of any command, which all users of the machine could see.
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
  options=$data/mosquitto_pub
  # Whole or not at all: what is prepared has another name until it is.
  rm -f "$file.first" "$options"
  # Asked twice, as at a terminal; printf is a part of the shell.
  printf '%s\n' "$GATEWAY_MQTT_PASSWORD" "$GATEWAY_MQTT_PASSWORD" | mosquitto_ctrl dynsec init "$file.first" gateway >/dev/null
  # It may fail without saying so.
  [ -e "$file.first" ] || { echo "mosquitto_ctrl takes passwords of one line, of 198 bytes at most" >&2; exit 1; }
  # mosquitto_pub looks into $XDG_CONFIG_HOME/mosquitto_pub for its options.
  trap 'rm -f "$options"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '%s\n' '-u gateway' "-P $GATEWAY_MQTT_PASSWORD" >"$options"
  config "$port 127.0.0.1" "$file.first" | sed '/^persistence/d' >"$data/first.conf"
  own
  mosquitto -c "$data/first.conf" &
  first=$!
  trap 'rm -f "$options"; kill "$first" 2>/dev/null || true' EXIT
  # The last command ends the connection of the client whose role it is: said again, all of it is so already.
  tries=50
  until XDG_CONFIG_HOME=$data mosquitto_pub -h 127.0.0.1 -p "$port" -q 1 \
    -t '$CONTROL/dynamic-security/v1' -f "$here/first.json" 2>/dev/null; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] && kill -0 "$first" || { echo "mosquitto cannot be prepared" >&2; exit 1; }
    sleep 0.2
  done
  kill "$first"
  wait "$first" || true
  rm "$options"
  trap - EXIT HUP INT TERM
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
