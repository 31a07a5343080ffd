"""Other people's protocols by translation alone: what is asked in their words is answered in their shapes."""
