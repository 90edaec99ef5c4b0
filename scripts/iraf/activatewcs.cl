# ACTIVATEWCS -- Make a named WCS or headerlet the primary WCS of images. The parameters are those of activatewcs.par.

string	asked

asked = name                # asks for it
asked = input               # asks for it
_align ("activatewcs")
activatewcs.status = imagereg.ended
