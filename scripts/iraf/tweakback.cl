# TWEAKBACK -- Give the images of a mosaic the alignment of the mosaic. The parameters are those of tweakback.par.

string	asked

asked = drzfile             # asks for it
_align ("tweakback")
tweakback.status = imagereg.ended
