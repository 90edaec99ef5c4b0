# IMAGEREG -- Alignment of images. Declared in loginuser.cl by `tweakreg --install-iraf'.

package imagereg

task	tweakreg	= "imagereg$tweakreg.cl"
task	imagefindpars	= "imagereg$imagefindpars.par"
task	refimagefindpars = "imagereg$refimagefindpars.par"

task	applywcs	= "imagereg$applywcs.cl"
task	restorewcs	= "imagereg$restorewcs.cl"
task	activatewcs	= "imagereg$activatewcs.cl"
task	listwcs		= "imagereg$listwcs.cl"
task	comparewcs	= "imagereg$comparewcs.cl"
task	tweakback	= "imagereg$tweakback.cl"

# What these call: the program, which gets the parameters of a run in a file.
task	$_align		= "imagereg$align.cl"
task	$_tweakreg	= ("$" // envget ("imageregcmd") // " --clpars $(1)")
hidetask ("_align", "_tweakreg")

clbye ()
