// Sends all three signals with the defaults of the OpenTelemetry SDK, which environment variables configure.
const api = require("@opentelemetry/api");
const { logs } = require("@opentelemetry/api-logs");
const { NodeSDK } = require("@opentelemetry/sdk-node");

const sdk = new NodeSDK();
sdk.start();

const tracer = api.trace.getTracer("orders", "1.0");
const meter = api.metrics.getMeter("orders");
const log = logs.getLogger("orders");
const orders = meter.createCounter("orders", { unit: "{order}" });
const prices = meter.createHistogram("prices", { unit: "{euro}" });

for (let number = 0; number < 100; number++) {
  tracer.startActiveSpan("order", { attributes: { number, name: "Grüße <b>" } }, (order) => {
    tracer.startActiveSpan("pay", { kind: api.SpanKind.CLIENT }, (pay) => {
      pay.addEvent("paid", { price: 1.5 });
      log.emit({ severityNumber: 9, severityText: "INFO", body: `order ${number}` });
      orders.add(1, { kind: number % 4 });
      prices.record(number);
      pay.end();
    });
    order.end();
  });
}

sdk.shutdown().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
