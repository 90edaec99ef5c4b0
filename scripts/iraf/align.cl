# ALIGN -- Run the program with the parameters of a task as they are now. They go there in a file, in which the program
# leaves its exit status when it has done its work: the parameter ended of the package.

procedure align (name)

string	name			{prompt="Name of the task"}

begin
	string	pars, task
	int	ended

	task = name
	pars = mktemp ("tmp$tweakreg")
	dparam (task, > pars)
	if (task == "tweakreg") {
	    dparam ("imagefindpars", >> pars)
	    dparam ("refimagefindpars", >> pars)
	}
	_tweakreg (pars)
	ended = 2
	head (pars, nlines=1) | scan (ended)
	if (nscan () < 1)
	    ended = 2
	delete (pars, verify-)
	if (ended == 2)
	    error (1, task // " stopped")
	imagereg.ended = ended
end
