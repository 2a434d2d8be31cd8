# What the benchmarks start, and how it ends. Read by scripts/bench.

started=()
declare -A running=()

# The end of everything that was started here and still runs, last first, by process id.
finish() {
  local i
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do
    end "${started[i]}"
  done
  rm -rf "$folder"
}

# Ends a server that was started here. Once: afterwards its id may be another's.
end() {
  local signal=INT
  [ -n "${running[$1]:-}" ] || return 0
  [ "${running[$1]}" != mariadb ] || signal=TERM
  unset "running[$1]"
  # SIGINT: PostgreSQL's fast shutdown, and as good as any for the others, except for MariaDB.
  kill "-$signal" "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# Starts a server in the background; its process id is in $pid.
start() {
  local name=$1
  shift
  # Background processes of a script ignore SIGINT unless job control is on while they start.
  set -m
  "$@" >"$folder/$name.log" 2>&1 </dev/null &
  pid=$!
  set +m
  started+=("$pid")
  running[$pid]=$name
}

taken=" "
# Puts a free port into $port. (Not printed: a subshell could not remember it.)
free_port() {
  while :; do
    port=$((20000 + RANDOM % 12000))
    case $taken in *" $port "*) continue ;; esac
    taken+="$port "
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
  done
}

# Waits until a command succeeds; shows the log of the server that it waits for if that takes too long.
await() {
  local name=$1 i
  shift
  for ((i = 0; i < 600; i++)); do
    if "$@" 2>/dev/null; then return; fi
    sleep 0.05
  done
  echo "$name does not come up:" >&2
  tail -20 "$folder/$name.log" >&2
  exit 1
}

listens() { (: <"/dev/tcp/127.0.0.1/$1"); }

# In a subshell: a connection that is refused ends the shell that asked for it.
is_ready() (
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf 'GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
  read -r _ status _ <&3
  [ "$status" = 200 ]
)

# A folder for a server that is not to run as root: own_folder FOLDER USER. The words before its command are in $as.
own_folder() {
  as=()
  mkdir "$1"
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --init-groups "--reuid=$(id -u "$2")" "--regid=$(id -g "$2")" --)
    chmod 755 "$folder"
    chown "$2" "$1"
  fi
}

start_postgres() {
  local -a as
  local programs data=$folder/postgres
  programs=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -1)
  programs=$(dirname "${programs:-$(command -v initdb)}")
  psql=$programs/psql
  own_folder "$data" postgres
  # From a folder that its user may enter, else it complains.
  (cd "$folder" && "${as[@]}" "$programs/initdb" -U changeover -A trust -E UTF8 --locale=C.UTF-8 -D "$data/data") >"$folder/initdb.log"
  free_port
  postgres_port=$port
  # Everything else as it comes: fsync on, 128 MB of shared buffers.
  start postgres "${as[@]}" "$programs/postgres" -D "$data/data" -k "$data" -h 127.0.0.1 -p "$postgres_port"
  postgres=$pid
  await postgres "$programs/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"
  postgres_version=$("$programs/postgres" --version | awk '{print $3}')
}

sql() { "$psql" -X -q -At -h 127.0.0.1 -p "$postgres_port" -U changeover -d "$1" -c "$2"; }
url() { echo "postgres://changeover@127.0.0.1:$postgres_port/$1"; }

# A MariaDB as it comes, in a folder of its own; its process id, port and version are in $mariadb, $mariadb_port and
# $mariadb_version.
start_mariadb() {
  local -a as
  local data=$folder/mariadb program
  own_folder "$data" mysql
  # For temporary files: a server that starts removes those of all others that share its folder for them.
  (cd "$folder" && "${as[@]}" mkdir "$data/tmp")
  (cd "$folder" && "${as[@]}" mariadb-install-db --no-defaults --datadir="$data/data" --tmpdir="$data/tmp" \
    --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve) >"$folder/mariadb-install.log" 2>&1
  program=$(command -v mariadbd || echo /usr/sbin/mariadbd)
  free_port
  mariadb_port=$port
  start mariadb "${as[@]}" "$program" --no-defaults --datadir="$data/data" --tmpdir="$data/tmp" --socket="$data/socket" \
    --pid-file="$data/pid" --bind-address=127.0.0.1 --port="$mariadb_port" --skip-name-resolve
  mariadb=$pid
  await mariadb mariadb_sql "DO 0"
  mariadb_version=$(mariadb_sql "SELECT SUBSTRING_INDEX(VERSION(), '-', 1)")
}

# The last argument is the statement, those before it are options.
mariadb_sql() { mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "$mariadb_port" -u root -B -r -N "${@:1:$#-1}" -e "${!#}"; }

# A broker with these lines in its configuration; its port is in $broker.
start_mosquitto() {
  local name=mosquitto-$1 program
  free_port
  broker=$port
  program=$(command -v mosquitto || echo /usr/sbin/mosquitto)
  printf '%s\n' "listener $broker 127.0.0.1" "allow_anonymous true" "persistence false" \
    "set_tcp_nodelay true" "log_type error" "user $(id -un)" "$2" >"$folder/$name.conf"
  start "$name" "$program" -c "$folder/$name.conf"
  await "$name" listens "$broker"
}

# The path of a module's legacy endpoint.
path_of() { echo "/api/$1/list"; }

# The configuration of a gateway on the database NAME: write_config NAME BROKER MODULE…, the broker being a port or the word
# embedded. Puts its ports into $public, $private and $embedded. Its database is PostgreSQL's unless $database is a URL;
# $more are further lines.
database= more=
write_config() {
  local name=$1 broker=$2 module
  shift 2
  free_port
  public=$port
  free_port
  private=$port
  free_port
  embedded=$port
  {
    cat <<CONFIG
[server]
public = "127.0.0.1:$public"
private = "127.0.0.1:$private"
[auth]
admin_token_file = "$folder/$name.token"
[database]
url = "${database:-$(url "$name")}"
# What is measured at ramp has had no traffic before it.
[gates]
enforce = false
# Topics of its own: what another gateway has left at the broker would look like a history that this one lost.
[mqtt]
topic_prefix = "$name"
[[mqtt.targets]]
name = "bench"
url = "$([ "$broker" = embedded ] && echo "embedded://127.0.0.1:$embedded" || echo "mqtt://127.0.0.1:$broker")"
$more
CONFIG
    for module in "$@"; do
      cat <<CONFIG
[[modules]]
name = "$module"
[modules.poll]
path = "$(path_of "$module")"
cursor = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
client = { in = "header", name = "X-Terminal" }
limit = { in = "query", name = "size", default = 100, max = 1000 }
wait = { in = "query", name = "wait", unit = "s", max_ms = 60000 }
[modules.poll.response]
body = '{"code":0,"msg":"ok","data":{"list":"\$changes","since":"\$cursor","more":"\$has_more"}}'
item = '{"id":"\$key","op":"\$op","seq":"\$position","body":"\$value"}'
error = '{"code":"\$status","msg":"\$message"}'
CONFIG
    done
  } >"$folder/$name.toml"
}

# Starts the gateway of a written configuration, behind the words of $pinned; its process id is in $gateway. Who acts on it from here, or has it
# act, finds the token of its private listener by the exported variable.
run_gateway() {
  export CHANGEOVER_TOKEN_FILE=$folder/$1.token
  start "$1" "${pinned[@]}" "$changeover" serve --config "$folder/$1.toml"
  gateway=$pid
  await "$1" is_ready "$private"
}
# Of what a server is started with: `taskset -c 0`, or nothing.
pinned=()

# A gateway on a database of its own: start_gateway NAME BROKER [MODULE…].
start_gateway() {
  sql postgres "CREATE DATABASE $1"
  write_config "$1" "$2" "${@:3}"
  run_gateway "$1"
}

# What a server says in its metrics: the sum of the samples that match.
metric() {
  curl -sf "http://127.0.0.1:$private/metrics" | grep -E -- "$1" | awk '{sum += $NF} END {printf "%.0f", sum}'
}
# SQL statements that polls have caused.
poll_queries() { metric '^changeover_database_queries_total\{purpose="(poll|catchup|state)"\}'; }

resident_kb() { awk '/^VmRSS/{print $2}' "/proc/$1/status"; }
