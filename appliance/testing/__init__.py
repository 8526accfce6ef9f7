"""Test support for engines in other packages: the engine contract, and a network with known outputs."""
