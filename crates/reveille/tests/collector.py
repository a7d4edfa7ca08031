"""A collector of OpenTelemetry that is none of ours: OTLP over HTTP, read with the messages that OpenTelemetry publishes.

usage: collector.py PORT BODIES [rejects]

Says each span as a line of JSON and keeps the bytes of what came in the file BODIES. With `rejects` it takes none, and says so as OTLP has it.
"""

import http.server
import json
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

PORT, BODIES = int(sys.argv[1]), sys.argv[2]
REJECTS = "rejects" in sys.argv[3:]


def attributes(of):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of}


def say(what):
    print(json.dumps(what), flush=True)


def spans(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "resource": attributes(resource.resource.attributes),
                    "scope": scope.scope.name,
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "state": span.trace_state,
                    "flags": span.flags,
                    "ns": span.end_time_unix_nano - span.start_time_unix_nano,
                    "status": Status.StatusCode.Name(span.status.code),
                    "message": span.status.message,
                    "links": len(span.links),
                    "events": len(span.events),
                    "attributes": attributes(span.attributes),
                }


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open(BODIES, "ab") as bodies:
            bodies.write(body)
        if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
            say({"wrong": [self.path, self.headers["content-type"]]})
            self.answer(400, b"")
            return
        request = ExportTraceServiceRequest.FromString(body)
        found = list(spans(request))
        answer = ExportTraceServiceResponse()
        if REJECTS:
            answer.partial_success.rejected_spans = len(found)
            answer.partial_success.error_message = "no room"
        for span in found:
            say({**span, "authorization": self.headers["authorization"]})
        self.answer(200, answer.SerializeToString())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Collector)
print("the collector is listening", flush=True)
server.serve_forever()
