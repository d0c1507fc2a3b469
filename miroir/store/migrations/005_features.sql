-- Experimental features that clients switched, as a JSON object of booleans.
ALTER TABLE cluster ADD COLUMN features TEXT NOT NULL DEFAULT '{}';
