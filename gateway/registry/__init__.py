"""Who is registered and what is enabled: rules, snapshot, leases, ownership."""
