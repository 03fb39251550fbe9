#!/usr/bin/env python3
"""terminal.py COLUMNS ROWS COMMAND...: runs the command on a pseudo terminal of that size and plays the terminal.

Prints as JSON: the exit code, the lines that scrolled away and the screen at the end, how often a character was
written behind the last column (`wrapped`), how many frames were drawn, whether a screen was ever cleared whole, and
whether the cursor is visible at the end. Knows the sequences that a progress view may use; any other one is listed
in `unknown`."""
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
import unicodedata


class Terminal:
    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.screen = [[" "] * columns for _ in range(rows)]
        self.x = self.y = self.wrapped = self.frames = 0
        self.gone, self.unknown = [], []
        self.cleared, self.visible = False, True

    def down(self):
        self.y += 1
        if self.y == self.rows:
            self.gone.append("".join(self.screen.pop(0)).rstrip())
            self.screen.append([" "] * self.columns)
            self.y -= 1

    def put(self, char):
        cells = 2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1
        if self.x + cells > self.columns:
            self.wrapped += 1
            self.x = 0
            self.down()
        if cells:
            self.screen[self.y][self.x] = char
            for cell in range(1, cells):
                self.screen[self.y][self.x + cell] = ""
        self.x += cells

    def escape(self, argument, final):
        if final == "A":
            self.y = max(0, self.y - int(argument or 1))
            self.frames += 1
        elif final == "K":
            self.screen[self.y][self.x:] = [" "] * (self.columns - self.x)
        elif final == "J":
            self.cleared |= argument == "2" or (self.x, self.y) == (0, 0) and self.frames > 0
            self.screen[self.y][self.x:] = [" "] * (self.columns - self.x)
            for row in range(self.y + 1, self.rows):
                self.screen[row] = [" "] * self.columns
        elif final in "hl" and argument == "?25":
            self.visible = final == "h"
        elif final != "m":
            self.unknown.append(argument + final)

    def play(self, text):
        for sequence, argument, final, char in re.findall(r"(\x1b\[([0-9;?]*)([A-Za-z]))|(.)", text, re.S):
            if sequence:
                self.escape(argument, final)
            elif char == "\r":
                self.x = 0
            elif char == "\n":
                self.down()
            elif ord(char) < 32 or ord(char) == 127:
                self.unknown.append(repr(char))
            else:
                self.put(char)


def run(columns, rows, command):
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execvp(command[0], command)
    data = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        data += piece
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    screen = Terminal(columns, rows)
    screen.play(data.decode(errors="replace"))
    json.dump({"code": code, "gone": screen.gone, "screen": ["".join(row).rstrip() for row in screen.screen],
               "wrapped": screen.wrapped, "frames": screen.frames, "cleared": screen.cleared,
               "visible": screen.visible, "unknown": sorted(set(screen.unknown))}, sys.stdout, ensure_ascii=False)


run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
