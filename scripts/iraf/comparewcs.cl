# COMPAREWCS -- Measure the solutions that images hold against a reference. The parameters are those of comparewcs.par.

string	asked

asked = input               # asks for it
_align ("comparewcs")
comparewcs.status = imagereg.ended
