#!/usr/bin/env python3
"""A receiver of OTLP over gRPC, made of OpenTelemetry's own Python schema: appends each span and log record to a file as
one line of JSON. Prints its port on the loopback first; ends when its stdin does.

    otlp_receiver.py FILE
"""

import concurrent.futures
import json
import sys
import threading

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def attributes(message):
    return {attribute.key: value(attribute.value) for attribute in message.attributes}


class Log:
    def __init__(self, path):
        self.lock = threading.Lock()
        self.file = open(path, "a", encoding="utf-8")

    def add(self, **fields):
        with self.lock:
            self.file.write(json.dumps(fields) + "\n")
            self.file.flush()


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, log):
        self.log = log

    def Export(self, request, context):
        for of_resource in request.resource_spans:
            resource = attributes(of_resource.resource)
            for scope in of_resource.scope_spans:
                for span in scope.spans:
                    self.log.add(
                        what="span",
                        resource=resource,
                        name=span.name,
                        trace=span.trace_id.hex(),
                        span=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        kind=span.kind,
                        start=span.start_time_unix_nano,
                        end=span.end_time_unix_nano,
                        attributes=attributes(span),
                        failed=span.status.code == 2,
                        message=span.status.message,
                    )
        return trace_service_pb2.ExportTraceServiceResponse()


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, log):
        self.log = log

    def Export(self, request, context):
        for of_resource in request.resource_logs:
            resource = attributes(of_resource.resource)
            for scope in of_resource.scope_logs:
                for record in scope.log_records:
                    self.log.add(
                        what="log",
                        resource=resource,
                        event=record.event_name,
                        body=value(record.body),
                        severity=record.severity_text,
                        trace=record.trace_id.hex(),
                        span=record.span_id.hex(),
                        attributes=attributes(record),
                    )
        return logs_service_pb2.ExportLogsServiceResponse()


def main():
    log = Log(sys.argv[1])
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(log), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(log), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main()
