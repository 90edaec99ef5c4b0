# ALIGN -- Run the program with the parameters of tweakreg as they are now. They go there in a file, which the program
# removes when it has done its work.

procedure align ()

begin
	string	pars

	pars = mktemp ("tmp$tweakreg")
	dparam ("tweakreg", > pars)
	dparam ("imagefindpars", >> pars)
	dparam ("refimagefindpars", >> pars)
	_tweakreg (pars)
	if (access (pars)) {
	    delete (pars, verify-)
	    error (1, "tweakreg stopped")
	}
end
