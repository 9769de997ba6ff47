-- Tills, and the head office under which what is paid to each is booked: two numbers of one payee. As the settings said last,
-- so that whatever tells of a receipt can be compared with what told of it before.
CREATE TABLE short_code_tills (
    till_number TEXT PRIMARY KEY,
    short_code TEXT NOT NULL
);
INSERT INTO short_code_tills (till_number, short_code)
SELECT till_number, MAX(short_code) FROM c2b_addresses
WHERE till_number <> '' AND till_number <> short_code GROUP BY till_number;
