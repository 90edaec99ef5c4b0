# APPLYWCS -- Put solutions that tweakreg found into headers. The parameters are those of applywcs.par.

string	asked

asked = solution			# asks for it
asked = input			# asks for it
_align ("applywcs")
applywcs.status = imagereg.ended
