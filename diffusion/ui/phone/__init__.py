"""The page of one clip, for the phones of an audience."""
