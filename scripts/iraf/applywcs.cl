# APPLYWCS -- Put solutions that tweakreg found into the headers of images. The parameters are those of applywcs.par.

string	asked

asked = solution            # asks for it
asked = input               # asks for it
_align ("applywcs")
applywcs.status = imagereg.ended
