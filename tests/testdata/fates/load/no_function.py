balanced_packing = "a string"
