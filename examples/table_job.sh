#!/bin/sh
# Distances for a table, by HTTP alone: submit, wait, fetch, destroy.
#   ./table_job.sh galaxies.csv flow.fits
set -eu
server=${CF_SERVER:-http://127.0.0.1:5000}
table=${1:-$(dirname "$0")/galaxies.csv}
result=${2:-flow.fits}

ask() { curl --silent --show-error --fail-with-body ${CF_TOKEN:+-H "Authorization: Bearer $CF_TOKEN"} "$@"; }
word() { grep -o "\"$1\":\"\{0,1\}[^\",}]*" | head -n 1 | sed 's/.*[:"]//'; }

# the same key with the same table is the same job: after a lost answer it is safe to send it again
job=$(ask --retry 5 -H "Idempotency-Key: $(date +%s)-$$" -H 'Content-Type: text/csv' --data-binary "@$table" \
      "$server/v1/jobs?H0=70" | word id)
echo "job $job is accepted"

while view=$(ask --retry 10 --retry-connrefused -H 'Prefer: wait=30' "$server/v1/jobs/$job"); do
    phase=$(printf '%s' "$view" | word phase)
    echo "$phase: $(printf '%s' "$view" | word rows_done) of $(printf '%s' "$view" | word rows_total) rows"
    case $phase in QUEUED | EXECUTING) ;; *) break ;; esac
done
[ "$phase" = COMPLETED ]

# --continue-at takes up a download that broke off
ask --retry 5 --continue-at - --output "$result" "$server/v1/jobs/$job/results/result.${result##*.}"
echo "$result holds $(wc -c < "$result") bytes"
ask -X DELETE "$server/v1/jobs/$job" > /dev/null
