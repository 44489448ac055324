"""Pure decisions: computed from arguments alone, never from a clock, a disk, a socket or a random source."""
