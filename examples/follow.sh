#!/bin/sh
# Follows the event log: prints every page of events as a batch of CloudEvents. After a restart it continues at the stored
# cursor.
# usage: TOKEN=... follow.sh URL FILE    (FILE stores the cursor)
set -eu
url=$1 file=$2
# A file per process, because a killed run may have left a curl that still writes.
page=$file.$$
trap 'rm -f "$page"*' EXIT
trap 'exit 1' INT TERM
[ -e "$file" ] || echo start > "$file"
while :; do
  status=$(curl --silent --show-error --max-time 40 --get "$url/events" --dump-header "$page.head" --output "$page" \
    --header "Authorization: Bearer ${TOKEN:-}" --header "Accept: application/cloudevents-batch+json" \
    --data-urlencode "after=$(cat "$file")" --data wait=20 --write-out '%{http_code}') || status=000
  case $status in
    200) ;;
    4*) # 410: the events after the cursor have expired
      echo "$status: $(cat "$page")" >&2
      exit 1
      ;;
    *)
      sleep 1
      continue
      ;;
  esac
  if [ "$(cat "$page")" != "[]" ]; then
    printf '%s\n' "$(cat "$page")" # process the events here, before the cursor is stored
  fi
  tr -d '\r' < "$page.head" | awk 'tolower($1) == "hookbridge-cursor:" { print $2 }' > "$page.new"
  mv "$page.new" "$file"
done
