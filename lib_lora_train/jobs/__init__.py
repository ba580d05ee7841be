"""Jobs on disk and the processes that run them. The page and the command line read and write only the job folder."""
