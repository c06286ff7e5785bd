#!/usr/bin/env python3
"""Runs a command at a terminal of its own and types answers to its questions.

usage: typed.py ANSWERS COMMAND...

ANSWERS is a JSON list of [question, answer]: each answer is typed once its question has been shown. Prints what
the terminal showed; ends with the command's own exit code, or 124 where a question never came within a minute.
What answers a question about a passphrase is typed once the terminal has stopped showing what is typed.
"""
import json
import os
import pty
import select
import sys
import termios
import time

SECRET = ("10 characters", "Once more", "Passphrase")
answers = json.loads(sys.argv[1])
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown, at, until = b"", 0, time.monotonic() + 60
while True:
    ready, _, _ = select.select([master], [], [], 0.2)
    if ready:
        try:
            part = os.read(master, 65536)
        except OSError:
            part = b""
        if not part:
            break
        shown += part
    is_asked = answers and answers[0][0].encode() in shown[at:]
    if is_asked and answers[0][0] in SECRET and termios.tcgetattr(master)[3] & termios.ECHO:
        is_asked = False
    if is_asked:
        at = len(shown)
        os.write(master, answers.pop(0)[1].encode() + b"\n")
        until = time.monotonic() + 60
    if time.monotonic() > until:
        sys.stdout.write(shown.decode(errors="replace"))
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        sys.exit(124)
sys.stdout.write(shown.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
