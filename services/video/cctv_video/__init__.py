"""Shows the cameras: the newest frame of each to any number of browsers, and what is known of its flow."""
