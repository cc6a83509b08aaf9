"""What more than one of the pipeline's services needs."""
