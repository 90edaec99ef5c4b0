# TWEAKREG -- Align images to each other. The parameters are those of tweakreg.par.

string	asked

asked = input               # asks for it
_align ("tweakreg")
tweakreg.status = imagereg.ended
