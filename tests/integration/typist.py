#!/usr/bin/python3
"""Runs a command at a terminal and types for it: typist.py PROMPT SECONDS COMMAND… < lines

Each line of standard input is typed when PROMPT has been shown again and nothing more comes. What the command showed
is printed; its exit code is ours, 124 when it did not end in time.
"""
import os, pty, select, sys, time

prompt, seconds, command = sys.argv[1].encode(), float(sys.argv[2]), sys.argv[3:]
lines = sys.stdin.buffer.read().splitlines()
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
shown, answered, end, code = b"", 0, time.monotonic() + seconds, None
while time.monotonic() < end:
    ready, _, _ = select.select([terminal], [], [], 0.3)
    if ready:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            piece = b""
        if not piece:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            break
        shown += piece
    elif lines and prompt in shown[answered:]:
        answered = len(shown)
        os.write(terminal, lines.pop(0) + b"\r")
if code is None:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    code = 124
sys.stdout.write(shown.decode(errors="replace").replace("\r", ""))
sys.exit(code)
