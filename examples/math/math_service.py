"""mathService: adds two numbers. Python's standard library only; it knows nothing of Outrigger."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class MathService(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        args = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path != "/add":
            return self.answer(404, {"error": f"there is no method {self.path}"})
        print(f"adding {args['arg1']} and {args['arg2']} for {self.headers.get('Dapr-Caller-App-Id')}", flush=True)
        self.answer(200, args["arg1"] + args["arg2"])

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass  # Outrigger tells the story of each call.


port = int(os.environ["APP_PORT"])
print(f"mathService listens on port {port}", flush=True)
ThreadingHTTPServer(("127.0.0.1", port), MathService).serve_forever()
