"""Files of other tools in, entries out. An importer is a pure function from a file to facts and bad rows."""
