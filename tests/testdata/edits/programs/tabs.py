def pack(weight):
	for i in weight:
		i += 1
	return	weight
