"""Model bundles as a running device reads them: format, storage and activation."""
