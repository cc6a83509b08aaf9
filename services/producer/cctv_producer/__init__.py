"""One camera's pictures, as JPEG records of the topic ``videocam``."""
