"""The HTTP side: control API, middleware, standalone proxy."""
