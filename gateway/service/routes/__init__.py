"""The operations of the control API, one module per kind of thing. Each only translates to and from the registry."""
