# shellcheck shell=bash disable=SC2154 # quickstart sets root, data_dir, binaries and up
#
# The demo: stand-in providers beside Signalbox, sample configuration, a little traffic. Sourced by quickstart.
#
# Everything it starts gets SIGTERM when this shell dies, whatever it dies of. Nothing here calls a real provider.

# keep COMMAND…: runs a program that does not outlive this shell. In a session of its own, so that Ctrl-C reaches
# this shell only, which then stops one after the other; a second signal would make the house hurry.
keep() {
    exec setsid setpriv --pdeathsig TERM -- "$@"
}

(umask 077 && mkdir -p "$data_dir")
token_file=$data_dir/demo-token
if [ ! -s "$token_file" ]; then
    (umask 077 && python3 -c 'import secrets; print("demo_" + secrets.token_urlsafe(32))' >"$token_file")
fi
export SIGNALBOX_ADMIN_TOKEN_FILE=$token_file
export SIGNALBOX_EGRESS_ALLOW=${SIGNALBOX_EGRESS_ALLOW:+$SIGNALBOX_EGRESS_ALLOW,}127.0.0.0/8,::1/128
export SIGNALBOX_LOG=${SIGNALBOX_LOG:-warn}

house='' world='' traffic='' echoes=''
stop() {
    code=$?
    trap - EXIT
    trap '' INT TERM HUP
    # Callers first, then the house (it drains, and stops its nats-server), then the world it talked to.
    for pid in $traffic $house $world; do
        kill -TERM "$pid" 2>/dev/null || continue
        wait "$pid" 2>/dev/null || true
    done
    [ -z "$echoes" ] || wait "$echoes" 2>/dev/null || true
    rm -rf "$pipes"
    [ "$code" -ne 130 ] || printf '\nstopped; start again to go on with the same state\n'
    exit "$code"
}
pipes=$(mktemp -d "${TMPDIR:-/tmp}/signalbox-demo.XXXXXX")
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# How much of a program's log is shown when it could not start.
log_lines_shown=5

# await PID WHAT [LOG]: shows what a program prints, from file descriptor 3, until its line that begins with `ready`.
await() {
    local line
    while IFS= read -r line <&3; do
        [ "${line#ready}" = "$line" ] || { ready_line=$line; return; }
        [ "$2" = standins ] || printf '   %s\n' "$line"
    done
    code=0
    wait "$1" || code=$?
    # Why is in its log where it does not print to this terminal.
    [ -z "${3:-}" ] || head -n "$log_lines_shown" "$3" | sed 's/^/   /' >&2
    die "$2 ended with code $code before it was ready"
}

mkfifo "$pipes/world" "$pipes/house"
RUST_LOG=warn keep "$binaries/standins" --config "$root/deploy/demo/standins.toml" >"$pipes/world" 2>"$data_dir/standins.log" &
world=$!
exec 3<"$pipes/world"
await "$world" standins "$data_dir/standins.log"
exec 3<&-

keep "${up[@]}" >"$pipes/house" &
house=$!
exec 3<"$pipes/house"
await "$house" signalbox
cat <&3 &
echoes=$!
exec 3<&-
address() { printf '%s\n' "$ready_line" | tr ' ' '\n' | sed -n "s/^$1=//p"; }
api=$(address api) gateway=$(address gateway) admin=$(address admin) nats=$(address nats)

step "Seed"
seed=(python3 "$root/deploy/demo/seed.py" --api "$api" --gateway "$gateway" --token-file "$token_file")
"${seed[@]}" || die "the demo could not be set up"
keep "${seed[@]}" --traffic >/dev/null 2>"$data_dir/traffic.log" &
traffic=$!

cat <<END

== Ready

   API       $api        its description: $api/openapi.json
   Gateway   $gateway
   Metrics   $admin/metrics
   Events    $nats
   World     http://127.0.0.1:8410/control/instances   (the stand-in providers and their switches)
   Token     $(cat "$token_file")   (an admin's; also in $token_file)

== Try this, in another terminal

   T=\$(cat '$token_file')

   # 1. How is everything? Green, yellow and red, live.
   curl -s -H "Authorization: Bearer \$T" $api/api/v1/integrations |
       python3 -c 'import json,sys; [print(i["colour"].ljust(7), i["id"].ljust(16), i["latency_ms"], "ms", i["reason"] or "") for i in json.load(sys.stdin)["items"]]'

   # 2. Call a provider through the gateway. You send no key: the gateway adds it.
   curl -si -H "Authorization: Bearer \$T" $gateway/r/quotes/v2/aggs/ticker/AAPL/prev

   # 3. Listen to the events (any NATS client does; this one is 60 lines of Python without any package).
   python3 '$root/deploy/demo/listen.py' --nats $nats 'sb.v1.*.*.changed' 'sb.v1.route.>' 'sb.v1.alert.>'
   nats sub 'sb.v1.>'

   # 4. Switch the first provider of the route off, and call again: the backup answers.
   curl -s -X POST -d '{"mode":"refuse"}' http://127.0.0.1:8410/control/instances/polygon
   curl -si -H "Authorization: Bearer \$T" $gateway/r/quotes/v2/aggs/ticker/AAPL/prev | grep -i x-signalbox

   # 5. What did people hear? (The Slack-shaped stand-in.)
   curl -s http://127.0.0.1:8410/control/targets/slack/messages | python3 -m json.tool | tail -40

   # 6. And back.
   curl -s -X POST -d '{"mode":"ok"}' http://127.0.0.1:8410/control/instances/polygon

   Ctrl-C stops everything.

END
ended=0
wait "$house" || ended=$?
house=
die "signalbox ended with code $ended"
