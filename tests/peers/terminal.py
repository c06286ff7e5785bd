#!/usr/bin/env python3
"""Somebody at a terminal: runs a program on a pty, waits for each question and types the answer.

usage: terminal.py STEPS PROGRAM WORD...   STEPS is JSON: [[question, answer], ...]
Prints all that was on the screen, and ends as the program did; 99 where a question did not come.
"""
import json
import os
import pty
import select
import signal
import sys
import time

PATIENCE_S = 90


def main():
    steps, words = json.loads(sys.argv[1]), sys.argv[2:]
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(words[0], words)
    screen, seen = b"", 0

    def more(until):
        nonlocal screen
        ready, _, _ = select.select([terminal], [], [], max(0, until - time.monotonic()))
        try:
            read = os.read(terminal, 65536) if ready else b""
        except OSError:
            read = b""
        screen += read
        return bool(read)

    for question, answer in steps:
        until, wanted = time.monotonic() + PATIENCE_S, question.encode()
        while wanted not in screen[seen:]:
            if not more(until):
                os.kill(child, signal.SIGKILL)
                sys.stdout.write(screen.decode(errors="replace"))
                sys.stdout.write(f"\nNOT ASKED: {question}\n")
                return 99
        seen = screen.index(wanted, seen) + len(wanted)
        # A program that hides what is typed turns echo off a moment after it asks.
        time.sleep(0.2)
        os.write(terminal, answer.encode() + b"\r")
    while more(time.monotonic() + PATIENCE_S):
        pass
    sys.stdout.write(screen.decode(errors="replace"))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
