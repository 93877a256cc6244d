"""What the tests, the tools and ``deploy.sh local`` share: fakes, the served function, and hostile bodies."""
