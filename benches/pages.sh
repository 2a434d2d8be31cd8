# (d) Polls that memory answers with ten changes.

bench_pages() {
  local ten i before
  echo "(d) ten changes from memory: requests/s, µs of processor time per request in the server, in PostgreSQL" >&2
  start_gateway pages "$broker_raised" commission
  "$yardstick" load --database "$(url pages)" --rows 20000 --transaction 1000 >/dev/null
  # Of 1,000 channels u7 has a row in every 1,000, and the tail holds the last 10,000 rows.
  ten="$(path_of commission)?since=10000&uid=u7&size=100"
  page_bytes=$(curl -sf "http://127.0.0.1:$public$ten" | tee "$folder/page" | wc -c)
  if [ "$(grep -o '"id":' "$folder/page" | wc -l)" != 10 ]; then
    echo "not ten changes: $(head -c 500 "$folder/page")" >&2
    exit 1
  fi
  start_bare "$ten"
  same_answer "$ten" "$bare_port"
  before=$(poll_queries)
  for ((i = 0; i < rounds; i++)); do
    poll page_gateway "$gateway" "$public" "$ten"
    poll page_bare "$bare" "$bare_port" "$ten"
  done
  note page_queries "$before $(poll_queries)"
  end "$bare"
  end "$gateway"
}

show_pages() {
  local rate before after
  rate=$(ratio page_gateway 1 page_bare 1)
  read -r before after <"$folder/page_queries.figures"
  cat <<TABLE
### (d) Poll with ten changes from memory

Ten changes with values of 200 bytes, a body of $(thousands "$page_bytes") bytes; otherwise as the first table of (a).

| server | requests/s | processor time per request |
|---|---:|---:|
| gateway | $(thousands "$(column page_gateway 1)") | $(round "$(column page_gateway 2)" 1) µs |
| bare axum, the same bytes | $(thousands "$(column page_bare 1)") | $(round "$(column page_bare 2)" 1) µs |

Requests/s, gateway : bare axum $(round "$rate" 2), aim ≥ 0.6: $(verdict "$rate" ">=" 0.6). SQL statements of polls: $before before, $after after.

TABLE
}
