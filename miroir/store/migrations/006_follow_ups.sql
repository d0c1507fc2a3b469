-- Tasks that have failed, or were canceled, and of which something has still to be taken back.
CREATE TABLE follow_ups (
    task_uid INTEGER PRIMARY KEY
) STRICT;
