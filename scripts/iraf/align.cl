# ALIGN -- Run the program with the parameters of tweakreg as they are now. They go there in a file, in which the program
# leaves its exit status when it has done its work: the parameter status of tweakreg.

procedure align ()

begin
	string	pars
	int	ended

	pars = mktemp ("tmp$tweakreg")
	dparam ("tweakreg", > pars)
	dparam ("imagefindpars", >> pars)
	dparam ("refimagefindpars", >> pars)
	_tweakreg (pars)
	ended = 2
	head (pars, nlines=1) | scan (ended)
	if (nscan () < 1)
	    ended = 2
	delete (pars, verify-)
	if (ended == 2)
	    error (1, "tweakreg stopped")
	tweakreg.status = ended
end
