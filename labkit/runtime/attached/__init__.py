"""A lab of containers that somebody else started, Docker Compose for one: this process becomes its owner."""
