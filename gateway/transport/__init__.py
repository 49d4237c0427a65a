"""The one way out of the process: HTTP calls to integration servers."""
