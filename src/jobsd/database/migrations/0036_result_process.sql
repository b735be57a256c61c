-- Which process has performed a job whose result is kept: others pay nothing for it.
ALTER TABLE jobsd.results ADD COLUMN process text;
