"""Makes Kafka's topics be as described, and keeps them so."""
