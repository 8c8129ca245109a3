"""Sends all three signals with the defaults of the OpenTelemetry SDK: send.py grpc|http/protobuf."""

import logging
import sys

from opentelemetry import metrics, trace
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))

log = logging.getLogger("orders")
log.addHandler(LoggingHandler(logger_provider=logs))
log.setLevel(logging.INFO)
tracer = traces.get_tracer("orders", "1.0")
meter = meters.get_meter("orders")
orders = meter.create_counter("orders", unit="{order}")
prices = meter.create_histogram("prices", unit="{euro}")

for number in range(100):
    with tracer.start_as_current_span("order", attributes={"number": number, "name": "Grüße <b>"}):
        with tracer.start_as_current_span("pay", kind=trace.SpanKind.CLIENT) as pay:
            pay.add_event("paid", {"price": 1.5})
            log.info("order %d", number)
            orders.add(1, {"kind": number % 4})
            prices.record(number)

traces.shutdown()
meters.shutdown()
logs.shutdown()
