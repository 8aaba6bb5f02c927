#!/usr/bin/env bash
# tests/ceph.sh COMMAND...: run a command with a Ceph S3 server (radosgw) of its own, on the loopback and in memory.
#
# Needs, and does not install: apt-get install ceph-mon ceph-osd radosgw ceph-common curl python3 (Debian 12: Ceph 16.2.15).
# The command's environment leads to the server: AWS_* as boto reads them, with a bucket "scratch" to try things in, and
# TEST_S3_ENDPOINT, by which the S3 tests use this server in place of moto. One monitor, one OSD of 4 GiB in
# memory, one gateway; up in about 15 s. All of it ends with the command, whose exit code is this script's.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: tests/ceph.sh COMMAND..." >&2; exit 2; }
for program in ceph-mon ceph-osd radosgw radosgw-admin ceph ceph-authtool monmaptool curl python3; do
  command -v "$program" > /dev/null || {
    echo "tests/ceph.sh: $program is not installed; apt-get install ceph-mon ceph-osd radosgw ceph-common curl python3" >&2
    exit 2
  }
done

home=$(mktemp -d -t srpipe-ceph-XXXXXX)

stop() {
  local file pid
  for file in "$home"/client.admin.pid "$home"/osd.0.pid "$home"/mon.a.pid; do  # the monitor last
    [ -s "$file" ] || continue
    pid=$(tr -d '[:space:]' < "$file")
    kill "$pid" 2> /dev/null || continue
    for _ in $(seq 50); do
      kill -0 "$pid" 2> /dev/null || continue 2
      sleep 0.2
    done
    kill -KILL "$pid" 2> /dev/null || true
  done
  rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "tests/ceph.sh: $1; the ends of its logs:" >&2
  tail -n 5 "$home"/*.log >&2 || true
  exit 1
}

wait_until() {  # seconds, what for, command
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "no $what in time"
    sleep 0.5
  done
}

read -r mon_v2 mon_v1 gateway < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))')
addresses="[v2:127.0.0.1:$mon_v2,v1:127.0.0.1:$mon_v1]"
fsid=$(cat /proc/sys/kernel/random/uuid)
osd=$(cat /proc/sys/kernel/random/uuid)

# msgr2 must stay on, or the OSD never comes up; the gateway insists on a "secure" monitor, hence crc for it.
cat > "$home/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = $addresses
auth cluster required = none
auth service required = none
auth client required = none
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
run dir = $home
admin socket = $home/\$name.asok
log file = $home/\$name.log
pid file = $home/\$name.pid
keyring = $home/keyring
[mon.a]
mon data = $home/mon
[osd.0]
osd data = $home/osd
osd objectstore = memstore
memstore device bytes = 4294967296
[client.admin]
ms mon client mode = crc
rgw frontends = beast endpoint=127.0.0.1:$gateway
CONF
export CEPH_CONF="$home/ceph.conf"
mkdir "$home/mon" "$home/osd"

quietly() { "$@" < /dev/null > "$home/last.log" 2>&1 || fail "'$*' failed"; }

export AWS_ACCESS_KEY_ID=srpipe-test AWS_SECRET_ACCESS_KEY=srpipe-test-secret AWS_DEFAULT_REGION=us-east-1
export AWS_ENDPOINT_URL="http://127.0.0.1:$gateway" AWS_ENDPOINT_URL_S3="http://127.0.0.1:$gateway"
export AWS_REQUEST_CHECKSUM_CALCULATION=when_required AWS_RESPONSE_CHECKSUM_VALIDATION=when_required
export AWS_EC2_METADATA_DISABLED=true

quietly ceph-authtool --create-keyring "$home/keyring" --gen-key -n mon. --cap mon 'allow *'
quietly ceph-authtool "$home/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
quietly monmaptool --create --addv a "$addresses" --fsid "$fsid" --set-min-mon-release 16 "$home/monmap"
quietly ceph-mon --mkfs -i a --monmap "$home/monmap" --keyring "$home/keyring"
quietly ceph-mon -i a
quietly ceph --connect-timeout 30 osd new "$osd" 0
quietly ceph-osd -i 0 --mkfs --osd-uuid "$osd"
quietly ceph --connect-timeout 30 osd crush add osd.0 1.0 host=localhost root=default
quietly ceph-osd -i 0
one_up() { ceph --connect-timeout 10 osd stat | grep -q '1 up'; }
wait_until 60 "OSD" one_up
quietly timeout 120 radosgw-admin user create --uid=test --display-name=test \
  --access-key="$AWS_ACCESS_KEY_ID" --secret-key="$AWS_SECRET_ACCESS_KEY"
quietly radosgw -n client.admin
answers() { curl --silent --max-time 5 "$AWS_ENDPOINT_URL"; }
wait_until 60 "answer from the gateway" answers
# curl signs the header of the payload, but sends one only when it is given.
quietly curl --fail --silent --show-error --max-time 30 -X PUT "$AWS_ENDPOINT_URL/scratch" \
  --aws-sigv4 "aws:amz:$AWS_DEFAULT_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
  --header "x-amz-content-sha256: UNSIGNED-PAYLOAD"
echo "$(radosgw --version | cut -d'(' -f1)at $AWS_ENDPOINT_URL" >&2

TEST_S3_ENDPOINT=$AWS_ENDPOINT_URL "$@"
