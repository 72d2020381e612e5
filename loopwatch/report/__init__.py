"""The room of the reporters: what is said of events, and where snapshots are shown."""
