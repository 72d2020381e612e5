"""Facts only, no policy: times steps and jobs, copies stacks, reads the host. Cheap, and never raises."""
