#!/usr/bin/env bash
# Mosquitto brokers on 127.0.0.1: plain, TLS, mutual TLS (the client's CN is its user), user/password (operator/secret).
# usage: mosquitto.sh DIR PLAIN TLS MTLS PASSWORD   (four ports)
# The user operator may publish everywhere but below refused/.
# DIR keeps a private CA between runs: ca.crt, server.crt/.key, client.crt/.key; and other.crt, of another CA.
set -e
DIR=$1; PLAIN=$2; TLS=$3; MTLS=$4; PASSWORD=$5
PATH=$PATH:/usr/sbin
mkdir -p "$DIR"; cd "$DIR"; DIR=$PWD
authorities() {
  for ca in ca other; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 730 -keyout $ca.key -out $ca.crt -subj /CN=$ca 2>/dev/null
  done
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' > san.cnf
  for n in server client; do
    openssl req -newkey rsa:2048 -nodes -keyout $n.key -out $n.csr -subj /CN=$n 2>/dev/null
    openssl x509 -req -in $n.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 730 -extfile san.cnf -out $n.crt 2>/dev/null
  done
  mosquitto_passwd -b -c pw operator secret 2>/dev/null
  chmod 644 ./*.key pw
  touch made
}
# Tests start brokers beside each other: one of them makes the authorities.
exec 9> lock
flock 9
[ -f made ] || authorities
flock -u 9
cat > mosquitto-$PLAIN.conf <<C
per_listener_settings true
user root
persistence false
log_type none
listener $PLAIN 127.0.0.1
allow_anonymous true
listener $TLS 127.0.0.1
allow_anonymous true
cafile $DIR/ca.crt
certfile $DIR/server.crt
keyfile $DIR/server.key
listener $MTLS 127.0.0.1
cafile $DIR/ca.crt
certfile $DIR/server.crt
keyfile $DIR/server.key
require_certificate true
use_identity_as_username true
listener $PASSWORD 127.0.0.1
allow_anonymous false
password_file $DIR/pw
acl_file $DIR/mosquitto-$PLAIN.acl
C
printf 'user operator\ntopic readwrite #\ntopic deny refused/#\n' > mosquitto-$PLAIN.acl
chmod 700 mosquitto-$PLAIN.acl
mosquitto -c mosquitto-$PLAIN.conf 9>&- &
until (exec 8<> /dev/tcp/127.0.0.1/$PASSWORD) 2>/dev/null; do
  kill -0 $! 2>/dev/null || { echo "mosquitto ended" >&2; exit 1; }
  sleep 0.05
done
echo READY
wait
