# TWEAKREG -- Align images. The parameters are those of tweakreg.par.

string	files

files = input			# asks for it
_align ("tweakreg")
tweakreg.status = imagereg.ended
