# form feed and vertical tab are no line ends
name = "a "
return_char = "xy"
# end 
