"""What a user would pick instead: other gateways in front of the same upstream, calling the same hook."""
