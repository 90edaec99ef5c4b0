# LISTWCS -- List the solutions that images hold. The parameters are those of listwcs.par.

string	asked

asked = input               # asks for it
_align ("listwcs")
listwcs.status = imagereg.ended
