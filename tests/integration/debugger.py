#!/usr/bin/python3
"""Speaks the debug adapter protocol with a program: debugger.py FOLDER DOCKERFILE LINE COMMAND…

Sets a breakpoint at LINE of FOLDER/DOCKERFILE, runs, and at each stop prints the reason, the step's name, and the files
at the root of its tree; steps once, then continues to the end.
"""
import json, queue, subprocess, sys, threading

folder, dockerfile, line, command = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
messages, number = queue.Queue(), 0


def read():
    while header := program.stdout.readline():
        length = None
        while header.strip():
            name, value = header.split(b":", 1)
            length = int(value) if name.lower() == b"content-length" else length
            header = program.stdout.readline()
        messages.put(json.loads(program.stdout.read(length)))
    messages.put(None)


def send(name, arguments):
    global number
    number += 1
    body = json.dumps({"seq": number, "type": "request", "command": name, "arguments": arguments}).encode()
    program.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    program.stdin.flush()
    return number


def wait(wanted):
    while (message := messages.get(timeout=30)) is not None:
        if wanted(message):
            return message
    sys.exit("the adapter left")


def ask(name, **arguments):
    sent = send(name, arguments)
    answer = wait(lambda m: m["type"] == "response" and m["request_seq"] == sent)
    if not answer["success"]:
        sys.exit(f"{name}: {answer.get('message')}")
    return answer.get("body") or {}


def stop():
    event = wait(lambda m: m["type"] == "event" and m["event"] in ("stopped", "terminated"))
    if event["event"] == "terminated":
        return None
    thread = event["body"]["threadId"]
    frame = ask("stackTrace", threadId=thread)["stackFrames"][0]
    files = []
    for scope in ask("scopes", frameId=frame["id"])["scopes"]:
        if scope["name"] == "File Explorer":
            files = [v["name"] for v in ask("variables", variablesReference=scope["variablesReference"])["variables"]]
    print(event["body"]["reason"], "|", frame["name"], "|", " ".join(files))
    return thread


threading.Thread(target=read, daemon=True).start()
ask("initialize", adapterID="test", linesStartAt1=True, columnsStartAt1=True, pathFormat="path")
send("launch", {"dockerfile": dockerfile, "contextPath": folder, "stopOnEntry": False})
wait(lambda m: m["type"] == "event" and m["event"] == "initialized")
ask("setBreakpoints", source={"path": f"{folder}/{dockerfile}"}, breakpoints=[{"line": line}])
ask("configurationDone")
for going_on in ("next", "continue", "continue"):
    if (thread := stop()) is None:
        break
    ask(going_on, threadId=thread)
program.kill()
