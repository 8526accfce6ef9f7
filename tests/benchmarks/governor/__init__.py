"""The governor on simulated boards in simulated weather, compared with alternatives and an oracle."""
