#!/bin/sh
# Calls a hook by hand, signed as the gateway signs, with curl and openssl: for finding out what is wrong.
#
#     HOOK_SECRET=whsec_… sh call.sh http://127.0.0.1:9200/hook '{"rows": [1, 2]}' search
#
# Says what was sent, what came back, and whether the reply is signed as it should be. Exit code 0 for 200 and 204.
set -eu
url=${1:?"usage: HOOK_SECRET=whsec_… sh call.sh URL [RESULT] [TYPE]"}
result=${2:-'{"rows": []}'}
type=${3:-question}
: "${HOOK_SECRET:?must hold the signing secret, whsec_…}"

key=$(printf %s "${HOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
id=msg_$(openssl rand -hex 12)
at=$(date +%s)

# sign ID TIMESTAMP FILE
sign() {
  { printf '%s.%s.' "$1" "$2"; cat "$3"; } | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '{"specversion":"1.0","id":"%s","source":"/by-hand","type":"query.result.%s","time":"%s","subject":"q_by_hand",' \
  "$id" "$type" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$folder/body"
printf '"datacontenttype":"application/json","data":{"query":{"type":"%s","capability":null,"tenant":null,' "$type" >>"$folder/body"
printf '"params":null,"context":null},"result":%s}}' "$result" >>"$folder/body"

echo "> POST $url"
echo "> webhook-id: $id"
echo "> $(cat "$folder/body")"
curl -sS -X POST "$url" -o "$folder/reply" -D "$folder/head" --max-time 10 \
  -H 'content-type: application/cloudevents+json' \
  -H 'accept: application/json, application/json-patch+json, application/merge-patch+json' \
  -H "webhook-id: $id" -H "webhook-timestamp: $at" -H "webhook-signature: v1,$(sign "$id" "$at" "$folder/body")" \
  -H 'gateway-timeout-ms: 10000' -H 'gateway-depth: 1' --data-binary "@$folder/body"

tr -d '\r' <"$folder/head" | sed 's/^/< /'
[ -s "$folder/reply" ] && { sed 's/^/< /' "$folder/reply"; echo; }

header() { tr -d '\r' <"$folder/head" | sed -n "s/^$1: //Ip" | head -n 1; }
[ -e "$folder/reply" ] || : >"$folder/reply"
given=$(header webhook-signature)
if [ -z "$given" ]; then
  echo "The reply is not signed."
elif [ "$given" = "v1,$(sign "$(header webhook-id)" "$(header webhook-timestamp)" "$folder/reply")" ] && [ "$(header webhook-id)" = "$id" ]; then
  echo "The reply's signature holds."
else
  echo "The reply's signature does NOT hold."
fi
status=$(head -n 1 "$folder/head" | cut -d ' ' -f 2)
[ "$status" = 200 ] || [ "$status" = 204 ]
