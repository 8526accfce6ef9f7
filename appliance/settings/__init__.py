"""The settings: the schema, where they come from, and how they are loaded."""
