# form feed and vertical tab are no line ends
name = "a b cde"
return_char = "xy"
# end 
