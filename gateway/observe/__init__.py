"""Logs and metrics: what the gateway tells about itself.

What may live here: structured logging (`log`), the seam through which the data path tells what happens
(`observer`), and the metrics that hang on it (`metrics`). Imports `model` and `errors` only, and nothing
here ever sees a body or a secret. Import the modules themselves: whoever logs need not load Prometheus.
"""
