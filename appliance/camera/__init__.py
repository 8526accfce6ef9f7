"""The camera side: sources of frames, and the agent that pushes them."""
