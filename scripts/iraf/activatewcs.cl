# ACTIVATEWCS -- Make a named WCS the primary one. The parameters are those of activatewcs.par.

string	asked

asked = name			# asks for it
asked = input			# asks for it
_align ("activatewcs")
activatewcs.status = imagereg.ended
