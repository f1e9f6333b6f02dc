#!/bin/sh
# Follows the event log: prints every page of events as a batch of CloudEvents, and goes on where it was when it is started
# again.
# usage: TOKEN=... follow.sh URL FILE    (FILE keeps the cursor)
set -eu
url=$1 file=$2
# Its own: an earlier run that was killed may have left a curl behind.
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
    4*) # 410: what comes next is no longer kept
      echo "$status: $(cat "$page")" >&2
      exit 1
      ;;
    *)
      sleep 1
      continue
      ;;
  esac
  if [ "$(cat "$page")" != "[]" ]; then
    printf '%s\n' "$(cat "$page")" # here your work is done; then the cursor is kept
  fi
  tr -d '\r' < "$page.head" | awk 'tolower($1) == "hookbridge-cursor:" { print $2 }' > "$page.new"
  mv "$page.new" "$file"
done
