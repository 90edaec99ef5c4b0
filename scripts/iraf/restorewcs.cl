# RESTOREWCS -- Make an archived WCS the primary one again. The parameters are those of restorewcs.par.

string	asked

asked = input               # asks for it
_align ("restorewcs")
restorewcs.status = imagereg.ended
