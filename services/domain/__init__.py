"""Pure decisions: modules here compute from their arguments and never read a clock, disk, socket or random source."""
