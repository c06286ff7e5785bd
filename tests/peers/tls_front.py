#!/usr/bin/env python3
"""A TLS front of Python's own ssl before a plain port.  usage: tls_front.py PORT TARGET CERTIFICATE KEY"""
import contextlib
import socket
import ssl
import sys
import threading


def relay(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def serve(client, context, target):
    with contextlib.suppress(OSError):
        client = context.wrap_socket(client, server_side=True)
        server = socket.create_connection(("127.0.0.1", target))
        threading.Thread(target=relay, args=(server, client), daemon=True).start()
        relay(client, server)


def main():
    port, target = int(sys.argv[1]), int(sys.argv[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("READY", port, flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, context, target), daemon=True).start()


if __name__ == "__main__":
    main()
