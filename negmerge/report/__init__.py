"""What a job leaves for people: the result document, the table, the plots, the pages, the terminal."""
