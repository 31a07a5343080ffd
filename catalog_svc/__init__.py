"""The catalogue service: names of galaxies to positions and velocities. It knows nothing of flows."""
