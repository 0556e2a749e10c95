"""What tuning changed inside: the PCFG study (`pcfg`), and the same analyses on any two chat models."""
