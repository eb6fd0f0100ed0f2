def pack(weight):
	for i in weight:
		i += 2
	return	weight
