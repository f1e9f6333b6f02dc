"""Runs a command on a terminal, types SECRET at its prompt, and fails if the terminal shows the secret. Prints the command's
standard output. usage: types_secret.py SECRET COMMAND..."""

import os
import pty
import subprocess
import sys

secret, command = sys.argv[1], sys.argv[2:]
terminal, inside = pty.openpty()
process = subprocess.Popen(command, stdin=inside, stderr=inside, stdout=subprocess.PIPE, start_new_session=True)
os.close(inside)
shown = b""
asked = False
while True:
    try:
        block = os.read(terminal, 4096)
    except OSError:  # the command has closed its end
        break
    shown += block
    if not asked and b"The secret of the webhooks of" in shown and shown.rstrip(b" ").endswith(b":"):
        asked = True
        os.write(terminal, secret.encode() + b"\n")
printed = process.stdout.read().decode()
if process.wait() != 0 or not asked:
    sys.exit("the command failed, or showed no prompt:\n" + shown.decode(errors="replace"))
if secret.encode() in shown:
    sys.exit("the terminal shows the secret")
print(printed, end="")
