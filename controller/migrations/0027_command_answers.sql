-- What sites answered to commands that ask to know something, in the parts in which it came. JSON; each part is text of its own.
CREATE TABLE command_answers (
    command_id  TEXT   NOT NULL REFERENCES commands (id),
    part        BIGINT NOT NULL,
    parts       BIGINT NOT NULL,
    body        TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (command_id, part)
);
CREATE INDEX command_answers_by_received_at ON command_answers (received_at);
