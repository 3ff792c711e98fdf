"""One file per clinical task, read from top to bottom; and the generic app for any bundle."""
