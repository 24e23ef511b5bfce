"""How fast it is, beside its peers: see README.md."""
